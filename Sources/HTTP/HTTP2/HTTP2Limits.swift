package import NIOCore

/// Every bound of one HTTP/2 connection. The defaults suit a server or client of small messages;
/// each is a promise to the process that the peer cannot make it keep or do more than this.
package struct HTTP2Limits: Sendable {
  /// What RFC 9113 6.5.2 adds to the size of each header field, in bytes.
  package static let headerFieldOverheadBytes = 32

  // What one message may hold.

  /// Size of a received header list as RFC 9113 6.5.2 counts it, in bytes. Advertised as
  /// SETTINGS_MAX_HEADER_LIST_SIZE. A larger request is answered 431, a larger response fails.
  package var headerListBytesMax = 16_384
  /// Size of a request's body, in bytes. A larger one is answered 413.
  package var requestBodyBytesMax = 524_288
  /// Size of a response's body, in bytes. A larger one fails the request.
  package var responseBodyBytesMax = 67_108_864
  /// Size of a received HELLO frame's payload, in bytes. A larger one is ignored.
  package var helloBytesMax = 4_096

  // What one connection may hold.

  /// Streams that the peer may have open at once: SETTINGS_MAX_CONCURRENT_STREAMS of the server.
  package var concurrentStreamsMax = 1_024
  /// Headers and bodies of requests that are still arriving, summed over the connection, in bytes.
  /// Where they exceed it, or what the ``RoomBudget`` of all connections leaves, the newest of
  /// them are answered 429, so that the others get through.
  package var bufferedRequestBytesMax = 16_777_216
  /// Answers that wait to be written, summed over the connection, in bytes. While more wait and the
  /// channel is not writable, the server reads nothing.
  package var waitingAnswerBytesMax = 1_048_576
  /// Answers that wait, be it for the channel or for flow-control windows, summed over the
  /// connection, in bytes. While more wait, new requests are answered 429.
  package var unsentAnswerBytesMax = 33_554_432
  /// Frames that wait to be written, other than DATA. While more wait and the channel is not
  /// writable, the server reads nothing.
  package var waitingFramesMax = 8_192
  /// Requests of a client that are not complete, whether sent or still waiting for a stream.
  package var clientRequestsMax = 16_384
  /// Interim responses (RFC 9110 15.2) to one request of a client. One more fails it.
  package var interimResponsesMax = 16
  /// Pings of a client that wait for their answer.
  package var pingsMax = 16
  /// Questions for a sign of life that wait for a client's answer; see
  /// ``Exchange/askForSignOfLife(_:)``.
  package var signsOfLifeMax = 2_048
  /// Headers and bodies of responses that are still arriving at a client, summed over the
  /// connection, in bytes: two of the largest. More of a response fails its request.
  package var bufferedResponseBytesMax = 134_217_728
  /// Bytes gathered into one write.
  package var writeBytesMax = 131_072
  /// Bytes written before other connections of the event loop get their turn.
  package var turnBytesMax = 1_048_576

  // Flow control (RFC 9113 5.2), in bytes.

  /// The server's SETTINGS_INITIAL_WINDOW_SIZE: what a request may send ahead.
  package var serverStreamWindowBytes = 262_144
  /// The server's window for the whole connection.
  package var serverConnectionWindowBytes = 1_048_576
  /// The client's SETTINGS_INITIAL_WINDOW_SIZE: what a response may send ahead.
  package var clientStreamWindowBytes = 1_048_576
  /// The client's window for the whole connection.
  package var clientConnectionWindowBytes = 4_194_304

  // What a peer may make us do without a request getting any further. Each is a token bucket: full
  // at first, refilled at a rate, and ordinary work earns some back, so that a busy peer may do
  // more of everything. An empty one ends the connection with ENHANCE_YOUR_CALM.

  /// RST_STREAM frames, of the peer (CVE-2023-44487) and those that it provokes (CVE-2025-8671),
  /// but not those after an early answer, nor those of ``longWaitsEnded`` and ``refusedStreams``.
  /// Each stream that ends well earns.
  package var resets = Allowance(burst: 500, perSecond: 50, earned: 1)
  /// RST_STREAM frames of the peer for requests that wait (``ExchangeWatcher/isWaiting``), or were
  /// not answered for ``longWait``. As many as can be: all of ``concurrentStreamsMax`` each time.
  package var longWaitsEnded = Allowance(burst: 4_096, perSecond: 1_024, earned: 0)
  /// After how long a complete request counts as one that waits, whatever it asks for.
  package var longWait = TimeAmount.seconds(1)
  /// Streams above ``concurrentStreamsMax``. A client that opens many before it has read the
  /// server's SETTINGS knows no better.
  package var refusedStreams = Allowance(burst: 8_192, perSecond: 256, earned: 0)
  /// Streams that are refused because the ``RoomBudget`` has no more for the connection. Whoever sends
  /// on and on then keeps everybody waiting.
  package var streamsWithoutRoom = Allowance(burst: 1_024, perSecond: 10, earned: 0)
  /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, GOAWAY and unknown frames, DATA frames that are
  /// nearly empty, and HEADERS and DATA that may have crossed the early end of their stream. Each
  /// HEADERS or DATA frame that we send earns.
  package var idleFrames = Allowance(burst: 2_000, perSecond: 200, earned: 4)
  /// Requests whose header list was too large.
  package var oversizedHeaders = Allowance(burst: 16, perSecond: 1, earned: 0)
  /// CONTINUATION frames in one header block (CVE-2024-27316). One more ends the connection.
  package var continuationsMax = 8
  /// Encoded size of one header block, in bytes. One more ends the connection.
  package var headerBlockBytesMax = 65_536
  /// A DATA frame with less payload than this, in bytes, moves no request forward.
  package var smallDataBytes = 256
  /// Entries in one SETTINGS frame. One more ends the connection.
  package var settingsEntriesMax = 32
  /// Answers to PING and SETTINGS that wait to be written. One more ends the connection.
  package var waitingAcknowledgementsMax = 1_000

  // How long a peer may take. They are looked at once per `checkInterval`, so each may be longer by
  // that much.

  /// From the connection's start to the peer's first SETTINGS. Then it is closed.
  package var prefaceTimeout = TimeAmount.seconds(10)
  /// From a request's first byte to its last. Then it is answered 408.
  package var requestTimeout = TimeAmount.seconds(30)
  /// Without ``writeProgressBytesMin`` of what waits to be written, or all of it, getting out:
  /// closes the connection, or resets the stream where only its flow-control window is shut.
  package var writeTimeout = TimeAmount.seconds(30)
  /// What a peer has to read within ``writeTimeout``, in bytes, if it does not read all there is.
  package var writeProgressBytesMin = 1_048_576
  /// Without any byte of a client whose requests wait for their answers. It is sent a PING after
  /// half of this, which every HTTP/2 peer answers. Then the connection ends.
  package var silenceTimeout = TimeAmount.seconds(40)
  /// Without any stream. Then the server says GOAWAY and closes.
  package var idleTimeout = TimeAmount.minutes(10)
  /// From the first GOAWAY of a graceful shutdown to the second, where the peer does not answer the
  /// PING in between.
  package var drainNotice = TimeAmount.seconds(1)
  /// How often the connection's one timer looks at all of these.
  package var checkInterval = TimeAmount.seconds(5)

  package init() {}

  /// The size of a ``TokenBucket``.
  package struct Allowance: Sendable {
    /// The most that can be saved up, and what there is at first.
    package var burst: Int
    /// What comes back each second.
    package var perSecond: Int
    /// What ordinary work earns back, as each bucket says.
    package var earned: Int

    package init(burst: Int, perSecond: Int, earned: Int) {
      self.burst = burst
      self.perSecond = perSecond
      self.earned = earned
    }
  }
}
