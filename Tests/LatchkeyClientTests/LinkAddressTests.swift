import NIOCore
import Testing

@testable import LatchkeyClient

/// A name with several addresses, as tables of what comes and what is done.
struct LinkAddressTests {
  private static func connect(_ id: Int, _ address: Int, endpoint: Int = 0) -> LinkState.Action {
    .connect(id, endpoint: endpoint, address: .ip(address))
  }

  private static func link(_ book: [[Int]]) -> LinkScript {
    let addresses = book.map { $0.map { SocketAddress.ip($0) } }
    return LinkScript(
      endpointCount: book.count,
      book: Dictionary(uniqueKeysWithValues: addresses.enumerated().map { ($0, $1) }))
  }

  @Test func everyAddressIsTriedBeforeTheNextEndpoint() {
    let link = Self.link([[1, 2, 3], [4, 5]])
    #expect(link { $0.want(1) } == [Self.connect(1, 1), .hurry(1)])
    #expect(link { $0.connectFailed(1) } == [Self.connect(2, 2), .hurry(2)])
    #expect(link { $0.connectFailed(2) } == [Self.connect(3, 3)])
    #expect(
      link { $0.connectFailed(3) } == [Self.connect(4, 4, endpoint: 1), .hurry(4)])
    #expect(link { $0.connectFailed(4) } == [Self.connect(5, 5, endpoint: 1)])
    #expect(link { $0.connectFailed(5) } == [.pause(isFirst: true)])
    // A name is looked up each time that it is come to, not for each of its addresses.
    #expect(link.lookUps == [0, 1])
    #expect(link { $0.pauseEnded() } == [Self.connect(6, 1), .hurry(6)])
    #expect(link.lookUps == [0, 1, 0])
  }

  /// A process that is suspended: the kernel accepts connections for it.
  @Test func aSilentAddressIsLeftForTheNextOne() {
    let link = Self.link([[1, 2]])
    _ = link { $0.want(1) }
    #expect(link { $0.connected(1) } == [.use(1, by: [1])])
    #expect(link { $0.silent(1) } == [.drain(1)])
    #expect(link { $0.want(1) } == [Self.connect(2, 2)])
    #expect(link { $0.connected(2) } == [.use(2, by: [1])])
    link.link.answered(2)
    // It is come back to only when the other one fails.
    #expect(link { $0.unusable(2, isFault: true) } == [])
    #expect(link { $0.want(2) } == [Self.connect(3, 1)])
    #expect(link { $0.connectFailed(3) } == [.pause(isFirst: true)])
    #expect(link { $0.pauseEnded() } == [Self.connect(4, 2), .hurry(4)])
  }

  /// Each call gives up after a short time, so that between two of them nobody wants anything.
  @Test func callsThatGetNoAnswerGoToAllAddressesByTurns() {
    let link = Self.link([[1, 2, 3], [4]])
    for (id, address) in [1, 2, 3].enumerated() {
      let connection = id + 1
      let actions = link { $0.want(connection) }
      #expect(actions.first == Self.connect(connection, address))
      _ = link { $0.connected(connection) }
      #expect(link { $0.silent(connection) } == [.drain(connection)])
    }
    #expect(link { $0.want(4) } == [Self.connect(4, 4, endpoint: 1)])
    _ = link { $0.connected(4) }
    #expect(link { $0.silent(4) } == [.drain(4), .pause(isFirst: true)])
  }

  @Test func aNameIsLookedUpAgainAfterAConnectionThatWasOfUse() {
    let link = Self.link([[1, 2]])
    _ = link { $0.want(1) }
    _ = link { $0.connected(1) }
    link.link.answered(1)
    // The servers were replaced.
    link.book[0] = [.ip(7), .ip(8)]
    #expect(link { $0.unusable(1, isFault: true) } == [])
    #expect(link { $0.want(2) } == [Self.connect(2, 7), .hurry(2)])
    #expect(link.lookUps == [0, 0])
  }

  @Test func anOnlyAddressThatChangesIsFoundAfterThePause() {
    let link = Self.link([[1]])
    _ = link { $0.want(1) }
    _ = link { $0.connected(1) }
    link.link.answered(1)
    link.book[0] = [.ip(2)]
    #expect(link { $0.unusable(1, isFault: true) } == [.pause(isFirst: true)])
    _ = link { $0.want(2) }
    #expect(link { $0.pauseEnded() } == [Self.connect(2, 2)])
  }

  @Test func aNameThatLeadsNowhereIsAFailureOfItsEndpointOnly() {
    let link = Self.link([[], [4]])
    #expect(link { $0.want(1) } == [Self.connect(1, 4, endpoint: 1)])
    #expect(link { $0.connectFailed(1) } == [.pause(isFirst: true)])
    let lost = Self.link([[], []])
    #expect(lost { $0.want(1) } == [.pause(isFirst: true)])
    #expect(lost { $0.pauseEnded() } == [.pause(isFirst: false)])
  }

  @Test func aGracefulEndGoesToTheNextAddressWithoutAPause() {
    let link = Self.link([[1, 2]])
    for (connection, address) in [(1, 1), (2, 2), (3, 1)] {
      #expect((link { $0.want(connection) }).first == Self.connect(connection, address))
      _ = link { $0.connected(connection) }
      link.link.answered(connection)
      #expect(link { $0.unusable(connection, isFault: false) } == [])
    }
  }

  @Test func aServerThatCannotServeIsLeftForAnotherAddress() {
    let link = Self.link([[1, 2]])
    _ = link { $0.want(1) }
    _ = link { $0.connected(1) }
    #expect(link { $0.unavailable(1) } == [.drain(1)])
    #expect(link { $0.want(1) } == [Self.connect(2, 2)])
    _ = link { $0.connected(2) }
    #expect(link { $0.unavailable(2) } == [.drain(2), .pause(isFirst: true)])
  }

  @Test func aSlowConnectionIsNotWaitedForAloneAndTheFirstOneWins() {
    let link = Self.link([[1, 2, 3]])
    _ = link { $0.want(1) }
    #expect(link { $0.connectIsSlow(1) } == [Self.connect(2, 2), .hurry(2)])
    // Only the latest one is hurried on.
    #expect(link { $0.connectIsSlow(1) } == [])
    #expect(link { $0.connectFailed(1) } == [Self.connect(3, 3)])
    #expect(link { $0.connectIsSlow(3) } == [])
    #expect(link { $0.connected(2) } == [.use(2, by: [1])])
    #expect(link { $0.connected(3) } == [.drain(3)])
    #expect(link { $0.connectIsSlow(2) } == [])
    // It counts from the one that won.
    link.link.answered(2)
    _ = link { $0.unusable(2, isFault: false) }
    #expect(link { $0.want(2) } == [Self.connect(4, 3), .hurry(4)])
  }

  @Test func theRoundIsOverWhenTheLastOfTheSlowOnesFailed() {
    let link = Self.link([[1, 2]])
    _ = link { $0.want(1) }
    _ = link { $0.connectIsSlow(1) }
    #expect(link { $0.connectFailed(2) } == [])
    #expect(link { $0.connectFailed(1) } == [.pause(isFirst: true)])
    #expect(link { $0.connectFailed(1) } == [])
  }

  @Test func aLateLookUpOfAnotherEndpointChangesNothing() {
    var link = LinkState(endpointCount: 2, first: 0)
    #expect(link.want(1) == [.resolve(endpoint: 0)])
    #expect(link.resolved(1, to: [.ip(4)]) == [])
    #expect(link.resolved(0, to: []) == [.resolve(endpoint: 1)])
    #expect(link.resolved(0, to: [.ip(1)]) == [])
    #expect(link.resolved(1, to: [.ip(4)]) == [Self.connect(1, 4, endpoint: 1)])
  }

  /// A name that leads to other addresses each time is given up after a bounded number.
  @Test func aNameIsNotTriedForEver() {
    let link = Self.link([[0], [99]])
    var connection = 0
    repeat {
      connection += 1
      link.book[0] = [.ip(connection), .ip(connection + 100)]
      let actions = link { $0.want(connection) }
      if case .connect(_, endpoint: 1, address: _) = actions.first { break }
      _ = link { $0.connected(connection) }
      _ = link { $0.silent(connection) }
    } while connection < 100
    #expect(connection == ClientLimits.addressesMax + 1)
  }
}

struct PlaceTests {
  private func addresses(_ texts: [String]) throws -> [SocketAddress] {
    try texts.map { try SocketAddress(ipAddress: $0, port: 7420) }
  }

  @Test(arguments: [
    (["::1", "::2", "10.0.0.1", "10.0.0.2"], ["::1", "10.0.0.1", "::2", "10.0.0.2"]),
    (["10.0.0.1", "::1", "::2"], ["10.0.0.1", "::1", "::2"]),
    (["10.0.0.1", "10.0.0.1", "10.0.0.2"], ["10.0.0.1", "10.0.0.2"]),
    ([], []),
  ])
  func familiesTakeTurns(answer: [String], order: [String]) throws {
    #expect(try addresses(answer).inTurn == addresses(order))
  }

  @Test func aNameHasABoundedNumberOfAddresses() throws {
    let all = try addresses((1...100).map { "10.0.0.\($0)" })
    #expect(all.inTurn == Array(all.prefix(ClientLimits.addressesMax)))
  }

  @Test(arguments: [
    ("locks.example:1", "10.0.0.1", "locks.example:1 (10.0.0.1)"),
    ("10.0.0.1:1", "10.0.0.1", "10.0.0.1:1"),
    ("[::1]:1", "::1", "[::1]:1"),
    ("locks.example:1", "::1", "locks.example:1 (::1)"),
  ])
  func aPlaceNamesHostAndAddress(endpoint: String, address: String, name: String) throws {
    let address = try SocketAddress(ipAddress: address, port: 1)
    #expect(Place(endpoint: try Endpoint(endpoint), address: address).description == name)
  }
}
