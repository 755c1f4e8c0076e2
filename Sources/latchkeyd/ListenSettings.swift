import LatchkeyServer
import TLS

/// Where to listen, and what TLS works with there.
struct ListenSettings {
  let listeners: [Listener]
  let tls: TLSMaterial?

  /// - Parameter tls: Reads certificates, where any are named.
  init(_ options: ServerOptions, environment: Environment) throws(SettingError) {
    let addresses = Setting(options.listen, "--listen", "LATCHKEY_LISTEN", environment)
    let adminAddresses = Setting(
      options.adminListen, "--admin-listen", "LATCHKEY_ADMIN_LISTEN", environment)
    tls = try Self.tls(options, environment)
    let isSecure = tls != nil
    let purpose = adminAddresses.values.isEmpty ? Listener.Purpose.all : .calls
    var listeners: [Listener] = []
    for text in addresses.values.isEmpty ? ["127.0.0.1:7420"] : addresses.values {
      listeners.append(
        try Listener(text, addresses.name, isSecure: isSecure, purpose: purpose))
    }
    for text in adminAddresses.values {
      listeners.append(
        try Listener(text, adminAddresses.name, isSecure: isSecure, purpose: .operations))
    }
    self.listeners = listeners
  }

  /// What is given several times, or with commas in the environment.
  private struct Setting {
    let values: [String]
    /// What to call it.
    let name: String

    init(
      _ option: [String], _ name: String, _ variable: String, _ environment: Environment
    ) {
      guard option.isEmpty, let text = environment.value(variable) else {
        values = option
        self.name = name
        return
      }
      values = text.split(separator: ",").map { String($0.filter { $0 != " " }) }
      self.name = variable
    }
  }

  // MARK: - TLS

  private static func tls(
    _ options: ServerOptions, _ environment: Environment
  ) throws(SettingError) -> TLSMaterial? {
    let certificate = try environment.path(
      options.tlsCertificate, "--tls-certificate", "LATCHKEY_TLS_CERTIFICATE")
    let key = try environment.path(options.tlsKey, "--tls-key", "LATCHKEY_TLS_KEY")
    let authorities = try environment.path(
      options.tlsClientCa, "--tls-client-ca", "LATCHKEY_TLS_CLIENT_CA")
    let how =
      options.tlsClientCertificates ?? environment.value("LATCHKEY_TLS_CLIENT_CERTIFICATES")
    guard let certificate, let key else {
      guard certificate == nil, key == nil else {
        throw SettingError(
          message: "--tls-certificate and --tls-key belong together: one of them is missing")
      }
      guard authorities == nil, how == nil else {
        throw SettingError(
          message:
            "clients can show certificates only where the server has one: --tls-certificate is missing"
        )
      }
      return nil
    }
    var clients = TLSMaterial.ClientCertificates.none
    if authorities != nil { clients = .required }
    if let how {
      guard let named = TLSMaterial.ClientCertificates(rawValue: how), named != .none else {
        throw SettingError(
          message: "--tls-client-certificates must be required or optional, got \"\(how)\"")
      }
      guard authorities != nil else {
        throw SettingError(message: "--tls-client-certificates needs --tls-client-ca")
      }
      clients = named
    }
    let files = TLSFiles(certificate: certificate, key: key, authorities: authorities)
    do {
      return try TLSMaterial(files, .server(clients: clients))
    } catch {
      throw SettingError(message: error.description)
    }
  }
}

extension Listener {
  /// - Parameters:
  ///   - name: What to call the setting.
  ///   - isSecure: Whether TLS can be spoken.
  fileprivate init(
    _ text: String, _ name: String, isSecure: Bool, purpose: Purpose
  ) throws(SettingError) {
    func rest(_ beginning: String) -> Substring? {
      text.hasPrefix(beginning) ? text.dropFirst(beginning.count) : nil
    }
    if let socket = rest("unix:") {
      self.init(.unix(try UnixSocket(socket, name)), purpose: purpose)
    } else if let address = rest("http://") {
      self.init(try Self.place(address, name), purpose: purpose)
    } else if let address = rest("https://") {
      guard isSecure else {
        throw SettingError(message: "\(name): \(text) needs --tls-certificate and --tls-key")
      }
      self.init(try Self.place(address, name), isSecure: true, purpose: purpose)
    } else {
      self.init(try Self.place(text[...], name), isSecure: isSecure, purpose: purpose)
    }
  }

  private static func place(_ text: Substring, _ name: String) throws(SettingError) -> Place {
    let fault = SettingError(
      message: "\(name) must be HOST:PORT with a port of 0 to 65535, or unix:PATH, got \"\(text)\"")
    guard let colon = text.lastIndex(of: ":"),
      let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port)
    else { throw fault }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard !host.isEmpty else { throw fault }
    return .tcp(host: host, port: port)
  }
}

extension UnixSocket {
  /// `PATH`, `PATH?mode=660&group=NAME`
  fileprivate init(_ text: Substring, _ name: String) throws(SettingError) {
    let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    self.init(path: String(parts[0]))
    guard (1...Self.pathBytesMax).contains(path.utf8.count), !path.utf8.contains(0) else {
      throw SettingError(
        message: "\(name): a socket's path has 1 to \(Self.pathBytesMax) bytes, got \"\(path)\"")
    }
    guard parts.count > 1 else { return }
    for parameter in parts[1].split(separator: "&") {
      let pair = parameter.split(separator: "=", maxSplits: 1).map(String.init)
      switch (pair.first, pair.last) {
      case ("mode", let mode?) where pair.count == 2:
        guard let number = UInt32(mode, radix: 8), number <= 0o777 else {
          throw SettingError(message: "\(name): mode must be like 660, got \"\(mode)\"")
        }
        self.mode = number
      case ("group", let group?) where pair.count == 2: self.group = group
      default:
        throw SettingError(
          message: "\(name): a socket has mode=660 and group=NAME, got \"\(parameter)\"")
      }
    }
  }
}
