import Testing
import WireSchema

@Suite("Wire versions")
struct WireVersionsTests {
  @Test(
    "the version in the path of a call, spoken here or not",
    arguments: [
      ("/latchkey.v1.Locks/Lock", "1"), ("/latchkey.v2.Locks/Later", "2"),
      ("/latchkey.v10.Locks/", "10"), ("/latchkey.v65535.Locks/Lock", "65535"),
      ("/latchkey.v4294967296.Locks/Lock", "4294967296"), ("/latchkey.v7.Locks/a/b?c", "7"),
      // Services that later versions may have.
      ("/latchkey.v2.Leases/Renew", "2"), ("/latchkey.v3.Locks_2/Lock", "3"),
      ("/latchkey.v99999999999999999999.Locks/Lock", "99999999999999999999"),
    ])
  func version(_ path: String, _ version: Substring) {
    #expect(WireVersions.version(inPath: path) == version)
  }

  @Test(
    "paths that are no calls",
    arguments: [
      "", "/", "/healthz", "latchkey.v1.Locks/Lock", "/latchkey.v.Locks/Lock",
      "/latchkey.v0.Locks/Lock", "/latchkey.v01.Locks/Lock", "/latchkey.v-1.Locks/Lock",
      "/latchkey.v+1.Locks/Lock", "/latchkey.v1a.Locks/Lock", "/latchkey.v1./Lock",
      "/latchkey.v1.Locks", "/latchkey.v1.9Locks/Lock", "/Latchkey.v1.Locks/Lock",
      "/latchkey.v1.Lo cks/Lock", "/latchkey.v1.Lôcks/Lock", "/latchkey.v1/Lock",
      "/latchkey.v١.Locks/Lock", "/latchkey.v1\u{301}.Locks/Lock", "//latchkey.v1.Locks/Lock",
      "/locket.v1.Locks/Lock",
    ])
  func noVersion(_ path: String) {
    #expect(WireVersions.version(inPath: path) == nil)
  }

  @Test("versions have no gaps, and their services are named for them")
  func list() {
    let numbers = WireVersions.all.map { $0.number }
    #expect(numbers == Array(1...UInt32(numbers.count)))
    #expect(WireVersions.spoken.newest == NewestWire.number)
    #expect(WireVersions.spoken.newest == numbers.last)
    for version in WireVersions.all {
      let (number, service, methods) = (version.number, version.service, version.methods)
      #expect(service == "latchkey.v\(number).Locks")
      #expect(!methods.isEmpty)
      for method in methods {
        #expect(WireVersions.version(inPath: "/\(service)/\(method)") == "\(number)")
      }
    }
  }
}
