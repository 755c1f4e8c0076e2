public import Glibc

/// The header fields of one request or response, in one flat buffer: one allocation for all.
///
/// Names are lower case and pseudo headers (":path") are included, as RFC 9113 8.2 and 8.3 have
/// them. A value, so a copy is independent; the buffer is shared until one copy changes.
package struct HeaderBlock: @unchecked Sendable {
  // Sendable: the room is written only while this value is its one owner (`makeRoom`), so what
  // another task can see never changes.
  /// Fields one after the other: the lengths of name and value as `UInt32` each, then their bytes.
  private var room: Room?
  private var roomBytes = 0
  /// The bytes that fields take.
  private var usedBytes = 0
  /// How many fields there are.
  package private(set) var count = 0
  /// The size of the list as RFC 9113 6.5.2 (SETTINGS_MAX_HEADER_LIST_SIZE) counts it: the bytes of
  /// names and values, and 32 for each field.
  package private(set) var byteCount = 0

  /// Enough for the headers of an ordinary call.
  private static let roomBytesMin = 512

  package init() {}

  /// Adds a field. `name` is expected in lower case; each part is at most 4 GiB.
  @inline(__always)
  package mutating func append(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    let size = Fields.prefixBytes + name.count + value.count
    makeRoom(for: size)
    room.unsafelyUnwrapped.withUnsafeMutablePointerToElements { bytes in
      let start = UnsafeMutableRawPointer(bytes + usedBytes)
      start.storeBytes(of: UInt32(name.count), as: UInt32.self)
      start.storeBytes(of: UInt32(value.count), toByteOffset: 4, as: UInt32.self)
      let rest = UnsafeMutableRawBufferPointer(
        start: start + Fields.prefixBytes, count: name.count + value.count)
      rest.copyMemory(from: name)
      UnsafeMutableRawBufferPointer(rebasing: rest[name.count...]).copyMemory(from: value)
    }
    usedBytes += size
    count += 1
    byteCount += name.count + value.count + HTTP2Limits.headerFieldOverheadBytes
  }

  private mutating func makeRoom(for size: Int) {
    if roomBytes - usedBytes >= size, isKnownUniquelyReferenced(&room) { return }
    roomBytes = max(usedBytes + size, 2 * roomBytes, Self.roomBytesMin)
    let larger = unsafeDowncast(Room.create(minimumCapacity: roomBytes) { _ in }, to: Room.self)
    room?.withUnsafeMutablePointerToElements { old in
      larger.withUnsafeMutablePointerToElements { $0.initialize(from: old, count: usedBytes) }
    }
    room = larger
  }

  /// Adds a field. `name` is expected in lower case.
  package mutating func append(_ name: String, _ value: String) {
    var (name, value) = (name, value)
    name.withUTF8 { name in
      value.withUTF8 { append(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer($0)) }
    }
  }

  /// Hands `body` all fields, in order. Their bytes are valid only inside of `body`.
  package func withFields<R>(_ body: (Fields) throws -> R) rethrows -> R {
    guard let room else {
      return try body(Fields(rest: UnsafeRawBufferPointer(start: nil, count: 0)))
    }
    return try room.withUnsafeMutablePointerToElements { bytes in
      try body(Fields(rest: UnsafeRawBufferPointer(start: bytes, count: usedBytes)))
    }
  }

  /// Hands `body` the value of the first field called `name`, or nil where there is none. The bytes
  /// are valid only inside of `body`. Compares bytes and allocates nothing.
  package func withValue<R>(
    of name: StaticString, _ body: (UnsafeRawBufferPointer?) throws -> R
  ) rethrows -> R {
    try withFields { fields in try body(fields.first { $0.name.equals(name) }?.value) }
  }

  /// The value of the first field called `name`; nil where there is none or it is not UTF-8.
  package func value(of name: StaticString) -> String? {
    withValue(of: name) { $0.flatMap { String(validating: $0, as: UTF8.self) } }
  }

  /// The fields of a block, one after the other.
  package struct Fields: Sequence, IteratorProtocol {
    @usableFromInline var rest: UnsafeRawBufferPointer

    @usableFromInline static var prefixBytes: Int { 8 }

    @inlinable
    package mutating func next() -> (
      name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    )? {
      guard rest.count >= Self.prefixBytes else { return nil }
      let nameEnd = Self.prefixBytes + Int(rest.loadUnaligned(as: UInt32.self))
      let end = nameEnd + Int(rest.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
      defer { rest = UnsafeRawBufferPointer(rebasing: rest[end...]) }
      return (
        UnsafeRawBufferPointer(rebasing: rest[Self.prefixBytes..<nameEnd]),
        UnsafeRawBufferPointer(rebasing: rest[nameEnd..<end])
      )
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Whether the bytes are the same. As a sequence they would be compared one by one.
  @inlinable
  package func equals(_ other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard let own = baseAddress, let others = other.baseAddress else { return true }
    return memcmp(own, others, count) == 0
  }

  @inlinable
  package func equals(_ text: StaticString) -> Bool {
    equals(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}

private final class Room: ManagedBuffer<Void, UInt8> {}
