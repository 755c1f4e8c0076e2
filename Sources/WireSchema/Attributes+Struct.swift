package import LockContent
package import SwiftProtobuf

// Attributes as the well-known messages of protobuf, which are plain JSON in JSON.

extension Attributes {
  package init(_ message: Google_Protobuf_Struct) {
    self.init(message.fields.mapValues(AttributeValue.init))
  }

  package var message: Google_Protobuf_Struct {
    Google_Protobuf_Struct(fields: values.mapValues(\.message))
  }
}

extension AttributeValue {
  fileprivate init(_ message: Google_Protobuf_Value) {
    switch message.kind {
    case .numberValue(let number): self = .number(number)
    case .stringValue(let text): self = .string(text)
    case .boolValue(let isTrue): self = .boolean(isTrue)
    case .structValue(let nested): self = .nested(Attributes(nested))
    case .listValue(let list): self = .list(list.values.map(AttributeValue.init))
    case .nullValue, nil: self = .null
    }
  }

  fileprivate var message: Google_Protobuf_Value {
    switch self {
    case .null: Google_Protobuf_Value(nilLiteral: ())
    case .boolean(let isTrue): Google_Protobuf_Value(boolValue: isTrue)
    case .number(let number): Google_Protobuf_Value(numberValue: number)
    case .string(let text): Google_Protobuf_Value(stringValue: text)
    case .list(let items):
      Google_Protobuf_Value(
        listValue: Google_Protobuf_ListValue(values: items.map(\.message)))
    case .nested(let attributes): Google_Protobuf_Value(structValue: attributes.message)
    }
  }
}
