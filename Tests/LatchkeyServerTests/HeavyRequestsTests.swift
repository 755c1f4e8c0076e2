import HTTP2
import NIOCore
import NIOEmbedded
import Testing

@testable import LatchkeyServer

/// Large requests do not keep an event loop from everybody else.
@Suite struct HeavyRequestsTests {
  private let loop = EmbeddedEventLoop()

  @Test(
    "what is large, or may become large, is heavy",
    arguments: [
      ([], false), ([0x7b], false), ([0x1f, 0x8b, 8], true),
      ([UInt8](repeating: 0x20, count: HeavyRequests.bodyBytesMin - 1), false),
      ([UInt8](repeating: 0x20, count: HeavyRequests.bodyBytesMin), true),
    ] as [([UInt8], Bool)])
  func heavy(body: [UInt8], isHeavy: Bool) {
    #expect(HeavyRequests.isHeavy(body) == isHeavy)
  }

  @Test("one is read at a time, and connections take turns")
  func turns() {
    let requests = HeavyRequests(eventLoop: loop)
    let (first, second) = (WaitingExchange(), WaitingExchange())
    var read: [String] = []
    for number in 1...3 {
      #expect(requests.add(first, bodyBytes: 100) { read.append("first \(number)") })
    }
    #expect(requests.add(second, bodyBytes: 100) { read.append("second") })
    // Alone it is read at once.
    #expect(read == ["first 1"])
    // What is due at once comes before the next: others are served in between.
    loop.run()
    #expect(read == ["first 1"])
    for count in 2...4 {
      loop.advanceTime(by: .milliseconds(1))
      #expect(read.count == count)
    }
    #expect(read == ["first 1", "first 2", "second", "first 3"])
    loop.advanceTime(by: .milliseconds(1))
    #expect(requests.add(second, bodyBytes: 100) { read.append("later") })
    #expect(read.last == "later")
  }

  @Test("what nobody waits for any more is not read, and too much is refused")
  func bounds() {
    let requests = HeavyRequests(eventLoop: loop)
    let (gone, patient) = (WaitingExchange(), WaitingExchange())
    var read: [String] = []
    #expect(requests.add(patient, bodyBytes: 1) { read.append("now") })
    let half = HeavyRequests.waitingBytesMax / 2 - 2_000
    #expect(requests.add(gone, bodyBytes: half) { read.append("gone") })
    #expect(requests.add(patient, bodyBytes: half) { read.append("patient") })
    #expect(!requests.add(patient, bodyBytes: half) { read.append("too much") })
    gone.isOpen = false
    loop.advanceTime(by: .milliseconds(1))
    #expect(read == ["now", "patient"])
    #expect(requests.add(patient, bodyBytes: half) { read.append("again") })
    loop.advanceTime(by: .milliseconds(1))
    #expect(read == ["now", "patient", "again"])
  }
}
