import CFuzzer
import Glibc

/// What is fuzzed: bytes go in, and nothing may come of it but an answer or an error.
///
/// A crash, a trap, a bad access or a hang is found by libFuzzer and AddressSanitizer; what a target
/// promises beyond that, it states with `precondition`.
let targets: [(name: String, run: @Sendable (UnsafeRawBufferPointer) -> Void)] = [
  ("http1", fuzzHTTP1), ("http2", fuzzHTTP2), ("json", fuzzJSON), ("proto", fuzzProto),
  ("hello", fuzzHello), ("rows", fuzzRows), ("proofs", fuzzProofs),
]

/// `latchkey-fuzz`, with LATCHKEY_FUZZ naming the target, and libFuzzer's own arguments.
@main
struct FuzzProgram {
  static let target: @Sendable (UnsafeRawBufferPointer) -> Void = {
    let name = getenv("LATCHKEY_FUZZ").map { String(cString: $0) } ?? ""
    guard let target = targets.first(where: { $0.name == name }) else {
      print("LATCHKEY_FUZZ must be one of \(targets.map(\.name).joined(separator: ", "))")
      exit(64)
    }
    return target.run
  }()

  static func main() {
    _ = target
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(
      LLVMFuzzerRunDriver(&count, &arguments) { bytes, count in
        FuzzProgram.target(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
      })
  }
}
