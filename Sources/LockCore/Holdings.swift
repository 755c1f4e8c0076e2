/// How many keys each identity holds, of those that have one: nothing is kept for others.
struct Holdings: Sendable {
  private struct Holder {
    let name: NameBytes
    var count = 0
  }

  /// Numbers in place of names, which are long and many rows have the same one.
  private var numbers: [NameBytes: Int] = [:]
  private var holders: [Holder?] = []
  private var unusedNumbers: [Int] = []
  private var numberOfRow: [Int64: Int] = [:]

  func count(of name: String) -> Int {
    guard !name.isEmpty, let number = numbers[NameBytes(name)] else { return 0 }
    return holders[number]!.count
  }

  /// - Parameter name: Empty where it is nobody's who is known.
  mutating func see(_ id: Int64, of name: String) {
    // Most are renewed by whom they were granted to.
    if let known = numberOfRow[id], holders[known]!.name.text.isSameText(as: name) { return }
    forget(id)
    guard !name.isEmpty else { return }
    let number = number(of: NameBytes(name))
    holders[number]!.count += 1
    numberOfRow[id] = number
  }

  mutating func forget(_ id: Int64) {
    guard !numberOfRow.isEmpty, let number = numberOfRow.removeValue(forKey: id) else { return }
    holders[number]!.count -= 1
    guard holders[number]!.count == 0 else { return }
    numbers[holders[number]!.name] = nil
    holders[number] = nil
    unusedNumbers.append(number)
  }

  private mutating func number(of name: NameBytes) -> Int {
    if let known = numbers[name] { return known }
    let number = unusedNumbers.popLast() ?? holders.count
    if number == holders.count { holders.append(nil) }
    holders[number] = Holder(name: name)
    numbers[name] = number
    return number
  }
}
