private import Glibc

/// The header fields of one request or response, in one flat buffer: one allocation for all.
///
/// Names are lower case and pseudo headers (":path") are included, as RFC 9113 8.2 and 8.3 have
/// them. A value, so a copy is independent; the buffer is shared until one copy changes.
package struct HeaderBlock: @unchecked Sendable {
  // Sendable: the storage is changed only while this value is its one owner (`makeRoom`), so what
  // another task can see never changes.
  private var storage: Storage?
  /// How many fields there are.
  package private(set) var count = 0
  /// The size of the list as RFC 9113 6.5.2 (SETTINGS_MAX_HEADER_LIST_SIZE) counts it: the bytes of
  /// names and values, and 32 for each field.
  package private(set) var byteCount = 0

  package init() {}

  /// Adds a field. `name` is expected in lower case; each part is at most 4 GiB.
  @inline(__always)
  package mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    let size = Storage.prefixSize + name.count + value.count
    let storage = makeRoom(for: size)
    storage.withUnsafeMutablePointers { extent, bytes in
      let start = UnsafeMutableRawPointer(bytes + extent.pointee.used)
      start.storeBytes(of: UInt32(name.count), as: UInt32.self)
      start.storeBytes(of: UInt32(value.count), toByteOffset: 4, as: UInt32.self)
      let room = UnsafeMutableRawBufferPointer(
        start: start + Storage.prefixSize, count: name.count + value.count)
      room.copyMemory(from: name)
      UnsafeMutableRawBufferPointer(rebasing: room[name.count...]).copyMemory(from: value)
      extent.pointee.used += size
    }
    count += 1
    byteCount += name.count + value.count + HTTP2Limits.headerFieldOverheadBytes
  }

  /// Adds a field. `name` is expected in lower case.
  package mutating func append(_ name: String, _ value: String) {
    var (name, value) = (name, value)
    name.withUTF8 { name in
      value.withUTF8 { append(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer($0)) }
    }
  }

  /// Hands `body` the value of the first field called `name`, or nil where there is none. The bytes
  /// are valid only inside of `body`. Compares bytes and allocates nothing.
  @inline(__always)
  package func withValue<R>(
    of name: StaticString, _ body: (UnsafeRawBufferPointer?) throws -> R
  ) rethrows -> R {
    guard let storage else { return try body(nil) }
    let wanted = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    return try storage.withUnsafeMutablePointers { extent, bytes in
      let fields = UnsafeRawBufferPointer(start: bytes, count: extent.pointee.used)
      return try body(Storage.find(wanted, in: fields))
    }
  }

  /// The value of the first field called `name`; nil where there is none or it is not UTF-8.
  package func value(of name: StaticString) -> String? {
    withValue(of: name) { $0.flatMap { String(validating: $0, as: UTF8.self) } }
  }

  /// Hands `body` each field in turn. The bytes are valid only inside of `body`.
  package func forEach(
    _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    try storage?.withUnsafeMutablePointers { extent, bytes in
      var rest = UnsafeRawBufferPointer(start: bytes, count: extent.pointee.used)
      while let field = Storage.takeField(from: &rest) { try body(field.name, field.value) }
    }
  }

  private mutating func makeRoom(for size: Int) -> Storage {
    let now = storage?.header ?? Extent(used: 0, capacity: 0)
    if now.capacity - now.used >= size, isKnownUniquelyReferenced(&storage) {
      return storage.unsafelyUnwrapped
    }
    let larger = Storage.make(
      capacity: max(now.used + size, now.capacity * 2, Storage.initialCapacity))
    storage?.withUnsafeMutablePointerToElements { old in
      larger.withUnsafeMutablePointerToElements { $0.initialize(from: old, count: now.used) }
    }
    larger.header.used = now.used
    storage = larger
    return larger
  }
}

extension UnsafeRawBufferPointer {
  /// Whether the bytes are the same. As a sequence they would be compared one by one.
  @inline(__always)
  package func equals(_ other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard let own = baseAddress, let others = other.baseAddress else { return true }
    return memcmp(own, others, count) == 0
  }

  package func equals(_ text: StaticString) -> Bool {
    equals(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}

private struct Extent {
  /// Bytes that fields take.
  var used: Int
  /// Bytes that there is room for.
  let capacity: Int
}

/// Fields one after the other: the lengths of name and value as `UInt32` each, then their bytes.
private final class Storage: ManagedBuffer<Extent, UInt8> {
  static let prefixSize = 8
  /// Enough for the headers of an ordinary call, in bytes.
  static let initialCapacity = 512

  static func make(capacity: Int) -> Storage {
    let made = Storage.create(minimumCapacity: capacity) { _ in Extent(used: 0, capacity: capacity)
    }
    return unsafeDowncast(made, to: Storage.self)
  }

  @inline(__always)
  static func takeField(
    from rest: inout UnsafeRawBufferPointer
  ) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
    guard rest.count >= prefixSize else { return nil }
    let nameEnd = prefixSize + Int(rest.loadUnaligned(as: UInt32.self))
    let end = nameEnd + Int(rest.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    defer { rest = UnsafeRawBufferPointer(rebasing: rest[end...]) }
    return (
      UnsafeRawBufferPointer(rebasing: rest[prefixSize..<nameEnd]),
      UnsafeRawBufferPointer(rebasing: rest[nameEnd..<end])
    )
  }

  @inline(__always)
  static func find(
    _ wanted: UnsafeRawBufferPointer, in fields: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    var rest = fields
    while let field = takeField(from: &rest) {
      if field.name.equals(wanted) { return field.value }
    }
    return nil
  }
}
