import HTTP
import HTTPServer
import LockContent
import LockCore
import Logging
import NIOCore
import NIOSSL
import Storage
import WireSchema

/// What all connections of a server have in common.
struct ConnectionSurroundings: Sendable {
  let serverID: String
  let random: @Sendable () -> UInt64
  let metrics: ServerMetrics
  let failures: ConnectionFailures
  let logger: Logger

  func handshake(_ offer: WireOffer) -> HandshakeOffer {
    offer.handshake(serverID: serverID, grease: random())
  }
}

/// A client's connection: takes its requests, and keeps what the server has of it while it lasts. Belongs to its
/// event loop.
final class Connection: RequestReceiver {
  let loop: EventLoopContext
  private let channel: any Channel
  private let router: Router
  private let surroundings: ConnectionSurroundings
  private var metrics: ServerMetrics { surroundings.metrics }
  private var logger: Logger { surroundings.logger }
  /// What is answered on it.
  let purpose: Listener.Purpose
  let room: Room
  /// What it has shown of who is at its other end.
  private(set) var proof: Proof
  /// Whom to ask to finish. Another one when it is known what the connection speaks.
  private var handler: (any ServerPipeline.Handler)?
  /// What its long answers take; made when there is one.
  private var longAnswers: AnswerBudgets.Kinds<AnswerBudget>?
  /// Where a call waits on it, or has.
  private var peerThatWaits: WaitingPeer?
  private var isNegotiated = false
  /// Nobody can be answered any more once it is not.
  private(set) var isOpen = true

  /// Bytes that are logged of what a client says that it is.
  private static let softwareBytesMax = 64

  /// What there was room for when it came.
  enum Room {
    case everything
    /// As many connections as may be were open: one request is answered, and only of how the server is.
    case watching
  }

  init(
    over channel: any Channel, for purpose: Listener.Purpose, _ room: Room, _ proof: Proof,
    _ loop: EventLoopContext, _ router: Router, _ surroundings: ConnectionSurroundings
  ) {
    self.loop = loop
    self.channel = channel
    self.purpose = purpose
    self.room = room
    self.proof = proof
    self.router = router
    self.surroundings = surroundings
  }

  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
    router.receive(head, body: body, exchange: exchange, on: self)
  }

  /// - Throws: Where `asker` may not hold `key` any more, or is not known any more.
  func lookAgain(at asker: Asker, hold key: String) throws(RPCError) {
    try router.doorkeeper.lookAgain(at: asker, on: self, hold: key)
  }

  // MARK: - From its beginning to its end

  func closed() {
    isOpen = false
    (handler, longAnswers, peerThatWaits) = (nil, nil, nil)
  }

  /// Finishes the requests in hand, then closes.
  func beginDrain() { handler?.beginDrain() }

  /// Tells the peer of a new offer.
  func update(offer: WireOffer) { handler?.update(offer: surroundings.handshake(offer)) }

  // MARK: - What is kept of it

  /// What its long answers of a kind may take.
  func answerBudget(
    _ kind: KeyPath<AnswerBudgets.Kinds<AnswerBudget>, AnswerBudget>
  ) -> AnswerBudget {
    let budgets = longAnswers ?? loop.longAnswers.ofConnection()
    if isOpen { longAnswers = budgets }
    return budgets[keyPath: kind]
  }

  /// The address of its other end, as people write it.
  private(set) lazy var peerName: String = {
    guard let address = channel.remoteAddress else { return "unknown" }
    guard let ip = address.ipAddress else { return "unix" }
    let host = ip.contains(":") ? "[\(ip)]" : ip
    return "\(host):\(address.port ?? 0)"
  }()

  /// The other side, which has just sent a request that may wait; nil where it is gone by now.
  func waitingPeer(at now: MonotonicTime) -> WaitingPeer? {
    guard isOpen else { return nil }
    guard let known = peerThatWaits else {
      let new = WaitingPeer(heardAt: now)
      peerThatWaits = new
      return new
    }
    if known.showsLife(at: now) { loop.store.heard(known) }
    return known
  }

  /// Asks for a sign of life of `peer`, whose request `exchange` is.
  func askForSignOfLife(of peer: WaitingPeer, through exchange: any Exchange) {
    // The request was answered or reset by now; others may wait on its connection, which says nothing.
    guard !exchange.isForgotten else { return loop.store.notAsked(peer) }
    exchange.askForSignOfLife { [loop] sign in
      let isNews =
        switch sign {
        // It is ending: nobody is granted anything who is gone.
        case .given, .gone: peer.showsLife(at: loop.clock())
        case .untold: peer.cannotBeAsked()
        }
      if isNews { loop.store.heard(peer) }
    }
  }
}

extension Connection: ServerPipeline.Events {
  func handshakeOffer() -> HandshakeOffer { surroundings.handshake(loop.offer) }

  func peerShowed(_ certificate: NIOSSLCertificate) { proof = Proof(certificate) }

  /// Notes whom to ask when it is to be drained, in the place of whom it was before.
  func opened(_ handler: any ServerPipeline.Handler, protocolName: String?) {
    self.handler = handler
    // It is not known for what the connection is before its protocol is.
    let isOfOneRequest = room == .watching && protocolName != nil
    if loop.isDraining || isOfOneRequest { handler.beginDrainAfterFirstRequest() }
    guard let protocolName else { return }
    let open = metrics.connections(protocolName)
    open.increment(by: 1)
    metrics.opened(protocolName)
    channel.closeFuture.whenComplete { _ in open.decrement(by: 1) }
  }

  func failed(_ end: ServerPipeline.EarlyEnd) {
    surroundings.failures.note(end, peer: channel.remoteAddress)
  }

  func peerOffered(settingsValue: UInt32) {
    // A peer that moves within its range later is still the same connection.
    guard !isNegotiated else { return }
    isNegotiated = true
    let range = WireRange(settingsValue: settingsValue)
    metrics.negotiated(range.flatMap { WireVersions.spoken.newestCommon(with: $0) })
  }

  func peerHello(_ payload: [UInt8]) {
    guard logger.logLevel <= .debug, let hello = HelloFrame.decode(payload) else { return }
    let software = hello.software.beginning(bytesMax: Self.softwareBytesMax)
    logger.debug("client said hello", metadata: ["software": "\(software)"])
  }

  func connectionEnded(reason: HTTP2ConnectionEnd) {
    metrics.ended(reason: reason.code.rawValue)
    logger.debug("connection ended", metadata: ["reason": "\(reason)"])
  }
}
