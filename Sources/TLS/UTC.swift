import Glibc

/// Times as people read them.
package enum UTC {
  /// - Parameters:
  ///   - seconds: Since 1970.
  ///   - format: As strftime(3) has it.
  package static func text(
    _ seconds: Int64, as format: String = "%Y-%m-%d %H:%M:%S UTC"
  ) -> String {
    var seconds = time_t(seconds)
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { return "\(seconds)" }
    var text = [CChar](repeating: 0, count: 64)
    let count = strftime(&text, text.count, format, &parts)
    return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
