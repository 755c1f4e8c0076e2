/// A number with a comma between thousands.
func grouped(_ number: some BinaryInteger) -> String {
  let digits = String(number.magnitude)
  var text = number < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
    text.append(digit)
  }
  return text
}

/// A number with `digits` decimal places.
func decimal(_ number: Double, digits: Int) -> String {
  let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
  let scaled = (number.magnitude * scale).rounded()
  guard scaled < 1e15 else { return "\(number)" }
  let units = Int(scaled)
  let (whole, fraction) = units.quotientAndRemainder(dividingBy: Int(scale))
  let sign = number < 0 && units > 0 ? "-" : ""
  guard digits > 0 else { return sign + String(whole) }
  let decimals = String(fraction)
  return "\(sign)\(whole)." + String(repeating: "0", count: digits - decimals.count) + decimals
}

/// A time in the unit that suits it, with three significant digits or so.
func shortTime(nanoseconds: Double) -> String {
  switch nanoseconds {
  case ..<999.5: "\(decimal(nanoseconds, digits: 0)) ns"
  case ..<999_500: "\(threeDigits(nanoseconds / 1_000)) µs"
  case ..<999_500_000: "\(threeDigits(nanoseconds / 1_000_000)) ms"
  default: "\(threeDigits(nanoseconds / 1_000_000_000)) s"
  }
}

private func threeDigits(_ number: Double) -> String {
  decimal(number, digits: number < 9.995 ? 2 : number < 99.95 ? 1 : 0)
}
