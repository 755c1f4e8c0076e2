#if MariaDB
  import Storage
  import Testing

  @testable import StorageMariaDB

  @Suite struct MariaDBAddressTests {
    @Test func hostsAreKeptInTheirOrder() throws {
      let address = try MariaDBAddress("mariadb://me@db1,db2:3307,[fe80::1]:9,[::1]/locks")
      #expect(
        address.hosts == [
          .init(name: "db1", port: 3_306), .init(name: "db2", port: 3_307),
          .init(name: "fe80::1", port: 9), .init(name: "::1", port: 3_306),
        ])
      #expect((address.user, address.password, address.database) == ("me", nil, "locks"))
      #expect(address.security == .disabled)
    }

    @Test func itsNameHasNoSecrets() throws {
      let address = try MariaDBAddress(
        "mariadb://m%40e:s%2Fec:r@et@db1:3306,db2:1/locks?ssl-ca=/x&ssl-key=/y")
      #expect((address.user, address.password) == ("m@e", "s/ec:r@et"))
      #expect(address.location == "mariadb://m@e@db1,db2:1/locks")
    }

    @Test(arguments: [
      ("", MariaDBAddress.Security.disabled), ("?ssl-ca=/ca.pem", .verifyIdentity),
      ("?ssl-ca=/ca.pem&ssl-mode=required", .required),
      ("?ssl-mode=required&ssl-ca=/ca.pem", .required),
      ("?ssl-mode=verify-identity", .verifyIdentity),
    ])
    func securityIsAsItIsSaid(_ parameters: String, _ mode: MariaDBAddress.Security) throws {
      #expect(try MariaDBAddress("mariadb://me@db/locks\(parameters)").security == mode)
    }

    @Test func aSocketStandsForHosts() throws {
      let address = try MariaDBAddress("mariadb://me@/locks?socket=/run/a%26b")
      #expect((address.socket, address.hosts) == ("/run/a&b", []))
    }

    @Test(arguments: [
      "mysql://me@db/locks", "mariadb://db/locks", "mariadb://@db/locks", "mariadb://me@db",
      "mariadb://me@db/", "mariadb://me@/locks", "mariadb://me@db,/locks",
      "mariadb://me@db:0/locks",
      "mariadb://me@db:65536/locks", "mariadb://me@db:x/locks", "mariadb://me@[::1/locks",
      "mariadb://me@[::1]x/locks", "mariadb://me@d;b/locks", "mariadb://me@db/locks?socket=/s",
      "mariadb://me@db/locks?ssl-mode=on", "mariadb://me@db/locks?x=y",
      "mariadb://me@db/locks?ssl-ca",
      "mariadb://m%4@db/locks", "mariadb://m%00@db/locks", "mariadb://m%ff@db/locks",
    ])
    func whatIsNoneIsRefusedWithoutBeingRepeated(_ url: String) throws {
      let error = #expect(throws: StoreError.self) { try MariaDBAddress(url) }
      #expect(error?.code == .unusable)
      #expect(error?.message.contains("\n") == false)
      #expect(error?.message.contains(url) == false)
    }
  }
#endif
