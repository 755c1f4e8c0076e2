#if PostgreSQL
  import StorageSQL

  /// Values as PostgreSQL takes them in its binary format.
  extension PostgresStatement.Parameter {
    /// The type by its number (pg_type.oid).
    var type: UInt32 {
      switch self {
      case .integer: 20
      case .text: 25
      case .bytes: 17
      case .integers: 1_016
      case .texts: 1_009
      case .byteStrings: 1_001
      }
    }

    var encoded: [UInt8] {
      switch self {
      case .integer(let value): Self.bigEndian(value)
      case .text(let text): Array(text.utf8)
      case .bytes(let bytes): bytes
      case .integers(let values): Self.array(values.map { $0.map(Self.bigEndian) }, of: 20)
      case .texts(let values): Self.array(values.map { $0.map { Array($0.utf8) } }, of: 25)
      case .byteStrings(let values): Self.array(values, of: 17)
      }
    }

    private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
      withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    /// An array of one dimension (array_recv of PostgreSQL).
    private static func array(_ elements: [[UInt8]?], of type: Int32) -> [UInt8] {
      let hasNull: Int32 = elements.contains { $0 == nil } ? 1 : 0
      // No dimension at all is how nothing is written.
      guard !elements.isEmpty else {
        return [Int32(0), 0, type].flatMap { bigEndian($0) }
      }
      var bytes = [Int32(1), hasNull, type, Int32(elements.count), 1].flatMap { bigEndian($0) }
      for element in elements {
        guard let element else {
          bytes += bigEndian(Int32(-1))
          continue
        }
        bytes += bigEndian(Int32(element.count))
        bytes += element
      }
      return bytes
    }
  }
#endif
