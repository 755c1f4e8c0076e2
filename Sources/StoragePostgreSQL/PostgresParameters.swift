#if PostgreSQL
  import CPostgres
  import Storage

  /// What a URI says of a connection, as libpq reads it.
  package struct PostgresParameters: Sendable {
    /// One of the hosts that it names.
    package struct Host: Sendable {
      /// Each where the URI says it: a name or the folder of a socket, an address, a port.
      var name, address, port: String?

      var description: String {
        let host = name ?? address ?? "the local socket"
        return port.map { "\(host):\($0)" } ?? host
      }
    }

    /// What is to be done where only standbys answer.
    var adviceOnStandbys: String {
      hosts.count > 1
        ? "one of the nodes has to be promoted"
        : "name the hosts of all nodes, with target_session_attrs=read-write"
    }

    private static let listNames = ["host", "hostaddr", "port"]

    private let values: [(name: String, value: String)]
    /// In the order of the URI; one that says nothing where the URI names none.
    let hosts: [Host]

    /// - Throws: `unusable` where libpq does not understand it, without anything of it that may be a secret.
    init(_ uri: String) throws(StoreError) {
      var message: UnsafeMutablePointer<CChar>?
      guard let options = PQconninfoParse(uri, &message) else {
        defer { PQfreemem(message) }
        throw Self.malformed(message.map { String(cString: $0) } ?? "")
      }
      defer { PQconninfoFree(options) }
      var values: [(name: String, value: String)] = []
      var next = options
      while let keyword = next.pointee.keyword {
        if let value = next.pointee.val {
          values.append((String(cString: keyword), String(cString: value)))
        }
        next += 1
      }
      // What is no number may be a password with a slash in it.
      let portList = values.first { $0.name == "port" }?.value ?? ""
      guard portList.allSatisfy({ "0123456789,".contains($0) }) else { throw Self.malformed("") }
      self.values = values.filter { !Self.listNames.contains($0.name) }
      func list(_ name: String) -> [String] {
        guard let value = values.first(where: { $0.name == name })?.value else { return [] }
        return value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      }
      let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"))
      let count = max(names.count, addresses.count, 1)
      guard names.isEmpty || names.count == count,
        addresses.isEmpty || addresses.count == count, ports.count <= 1 || ports.count == count
      else {
        throw StoreError(
          .unusable, "the store's URL names another number of ports or addresses than of hosts")
      }
      func item(_ list: [String], _ index: Int) -> String? {
        let item = list.count == 1 ? list[0] : index < list.count ? list[index] : ""
        return item.isEmpty ? nil : item
      }
      hosts = (0..<count).map { index in
        Host(name: item(names, index), address: item(addresses, index), port: item(ports, index))
      }
    }

    /// As a URI with what says where the store is, and nothing else.
    var location: String {
      func value(_ name: String) -> String { values.first { $0.name == name }?.value ?? "" }
      let user = value("user")
      let isSocket = hosts.contains { ($0.name ?? $0.address ?? "/").hasPrefix("/") }
      let list = hosts.map(\.description).joined(separator: ",")
      return "postgresql://" + (user.isEmpty ? "" : user + "@") + (isSocket ? "" : list)
        + "/\(value("dbname"))" + (isSocket ? "?host=\(list)" : "")
    }

    private static func malformed(_ message: String) -> StoreError {
      // Anything else that libpq says may have a part of the password in it.
      let unknown = message.hasPrefix("invalid URI query parameter") ? ": \(message)" : ""
      return StoreError(
        .unusable,
        "the store's URL is not postgresql://USER@HOST,HOST/DATABASE?PARAMETER=VALUE as libpq reads it"
          + unknown.filter { $0 != "\n" })
    }

    /// What is said of a connection to `host`.
    ///
    /// - Parameters:
    ///   - defaults: What holds where the URI says nothing.
    ///   - overrides: What counts more than the URI.
    func values(
      for host: Host, defaults: [(name: String, value: String)],
      overrides: [(name: String, value: String)]
    ) -> [(name: String, value: String)] {
      let place = [("host", host.name), ("hostaddr", host.address), ("port", host.port)]
        .compactMap { name, value in value.map { (name: name, value: $0) } }
      // What comes last counts.
      return defaults + values + place + overrides
    }
  }
#endif
