import HTTP
import NIOCore
import WireSchema

/// One HTTP/2 connection of a link, and what its server said of itself. Belongs to the link's event
/// loop.
final class Connection {
  let id: LinkState.ConnectionID
  let place: Place
  let channel: any Channel
  private(set) var handler: HTTP2ClientHandler!
  private weak var driver: LinkDriver?

  /// What the server said in SETTINGS on this connection, or later in an error: nil where nothing, or
  /// where a proxy hides it.
  private(set) var offered: WireRange?
  private(set) var hello: Latchkey_Handshake_V1_Hello?
  var watch: PeerWatch
  private var introductions: [(Bool) -> Void] = []
  private var isProbed = false
  /// When the watch looks next.
  var nextLook: (time: Instant, alarm: Alarm)?

  init(
    _ id: LinkState.ConnectionID, to place: Place, over channel: any Channel,
    offer: HandshakeOffer, grease: Grease, driver: LinkDriver, watch: PeerWatch
  ) {
    self.id = id
    self.place = place
    self.channel = channel
    self.driver = driver
    self.watch = watch
    handler = HTTP2ClientHandler(
      authority: place.endpoint.authority, offer: offer, limits: HTTP2Limits(), grease: grease,
      events: Relay(connection: self))
  }

  /// The server answered a request with the versions that it does speak.
  func corrected(_ range: WireRange) { if offered != nil { offered = range } }

  /// Calls `completion` once the server's handshake is here, with false where it will not come. The
  /// answer to a PING comes after the SETTINGS; one serves all who wait.
  func introduce(_ completion: @escaping (Bool) -> Void) {
    introductions.append(completion)
    guard introductions.count == 1 else { return }
    handler.ping { isThere in
      let waiting = self.introductions
      self.introductions = []
      for completion in waiting { completion(isThere) }
    }
  }

  /// Asks for a sign of life, unless that is under way: the answer shows in ``watch``.
  func probe() {
    guard !isProbed else { return }
    isProbed = true
    handler.ping { _ in self.isProbed = false }
  }

  // MARK: - What the connection says

  func peerOffered(settingsValue: UInt32) {
    offered = WireRange(settingsValue: settingsValue)
    if let offered { driver?.learned(offered, of: self) }
  }

  func peerHello(_ payload: [UInt8]) { hello = HelloFrame.decode(payload) ?? hello }

  func bytesReceived() {
    guard let driver else { return }
    let isFirstWord = !watch.hasSpoken
    watch.heardSomething(at: driver.time.now)
    guard isFirstWord else { return }
    driver.reached(self)
    // The watch was to look when the first word was due.
    driver.look(at: self)
  }

  func goAway(lastStream: Int32, code: UInt32) { driver?.drained(self, code: code) }

  func closed(reason: HTTP2ConnectionEnd) { driver?.closed(self, reason) }
}

/// Keeps the handler from owning the connection, which owns it.
private final class Relay: HTTP2ClientEvents {
  private weak var connection: Connection?

  init(connection: Connection) { self.connection = connection }

  func peerOffered(settingsValue: UInt32) {
    connection?.peerOffered(settingsValue: settingsValue)
  }
  func peerHello(_ payload: [UInt8]) { connection?.peerHello(payload) }
  func bytesReceived() { connection?.bytesReceived() }
  func goAway(lastStream: Int32, code: UInt32) {
    connection?.goAway(lastStream: lastStream, code: code)
  }
  func closed(reason: HTTP2ConnectionEnd) { connection?.closed(reason: reason) }
}
