/// What a holder wants to be known: a text, and the attributes that it stands for where it is a JSON
/// object.
package struct Content: Equatable, Sendable {
  /// What versions before attributes know: exactly as it was written, or ``Attributes/json``.
  package let text: String
  /// Nil where the text is no JSON object that attributes hold exactly.
  package let attributes: Attributes?

  package static let empty = Content(text: "")

  package init(text: String) {
    self.text = text
    attributes = Attributes(exactly: text)
  }

  /// - Parameter attributes: They have to be ``Attributes/isSound``.
  package init(_ attributes: Attributes) {
    text = attributes.json
    self.attributes = attributes
  }

  /// Of a text whose attributes are known already.
  package init(text: String, attributes: Attributes?) {
    self.text = text
    self.attributes = attributes
  }

  /// Whether the text is the one that its attributes have.
  package var isCanonical: Bool { attributes.map { $0.json == text } ?? false }

  /// The text says it all. It counts by its bytes.
  package static func == (a: Content, b: Content) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }
}

extension Content: ExpressibleByStringLiteral {
  package init(stringLiteral text: String) { self.init(text: text) }
}
