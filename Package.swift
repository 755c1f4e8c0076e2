// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] =
  [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ]
  // For `swift build --sanitize=thread`.
  + (Context.environment["LATCHKEY_TSAN"] == nil ? [] : [.define("LATCHKEY_TSAN")])

/// Nobody loads the programs as libraries: the names of all their functions would be a tenth of what they take.
let program: [LinkerSetting] = [
  .unsafeFlags(["-Xlinker", "--no-export-dynamic"], .when(configuration: .release))
]

let nio = (
  core: Target.Dependency.product(name: "NIOCore", package: "swift-nio"),
  posix: Target.Dependency.product(name: "NIOPosix", package: "swift-nio"),
  http1: Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio"),
  tls: Target.Dependency.product(name: "NIOTLS", package: "swift-nio"),
  ssl: Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl"),
  embedded: Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
)
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let jwt = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")
// Tests issue certificates.
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let lifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle")

/// The fuzz targets, which need a sanitizer of their own: only `.ci/fuzz` builds them.
let fuzzing: [Target] =
  Context.environment["LATCHKEY_FUZZ_BUILD"] == nil
  ? []
  : [
    .systemLibrary(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
    .executableTarget(
      name: "latchkey-fuzz",
      dependencies: [
        "CFuzzer", "Access", "HTTP", "HTTPServer", "LatchkeyServer", "LockContent", "LockCore",
        "RPC",
        "Storage", "TLS", "WireSchema", nio.core, nio.embedded, nio.ssl,
      ],
      path: "Tests/Fuzz/Targets", swiftSettings: strict,
      // gold, the default, cannot read what the sanitizers leave in the objects.
      linkerSettings: [.unsafeFlags(["-use-ld=lld"])]),
  ]

let package = Package(
  name: "latchkey",
  products: [
    .library(name: "LatchkeyClient", targets: ["LatchkeyClient"]),
    .executable(name: "latchkeyd", targets: ["latchkeyd"]),
    .executable(name: "latchkey", targets: ["latchkey"]),
  ],
  traits: [
    .trait(name: "PostgreSQL", description: "Stores in PostgreSQL, through libpq"),
    .trait(name: "MariaDB", description: "Stores in MariaDB and Galera, through libmariadb"),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    // Without its traits it does without the whole of Foundation, which would double a server's memory.
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
    .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
  ],
  targets: [
    // The C libraries, as Debian ships them.
    .systemLibrary(
      name: "CMariaDB", pkgConfig: "libmariadb", providers: [.apt(["libmariadb-dev"])]),
    .systemLibrary(
      name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // Seen by one thread at a time.
    .target(name: "Exclusion", swiftSettings: strict),
    // What of Linux can only be said in C.
    .target(name: "CLinux"),

    // What a holder says: the one thing that both the core and the versions of the wire know.
    .target(name: "LockContent", swiftSettings: strict),
    // The rules of locks, and the versions of the wire.
    .target(name: "LockCore", dependencies: ["LockContent", deque, heap], swiftSettings: strict),
    .target(name: "WireSchema", dependencies: ["LockContent", protobuf], swiftSettings: strict),

    // From bytes to requests: what is the same in all versions of HTTP, and HTTP/2 of both sides.
    .target(name: "HTTP", dependencies: ["CNghttp2", nio.core], swiftSettings: strict),
    .target(name: "Files", swiftSettings: strict),
    // What TLS works with: files, certificates, and what can be wrong with them.
    .target(name: "TLS", dependencies: ["Exclusion", "Files", nio.ssl], swiftSettings: strict),
    // What only servers need: HTTP/1.1, and how a connection comes to its protocol.
    .target(
      name: "HTTPServer",
      dependencies: ["HTTP", "TLS", nio.core, nio.http1, nio.tls, nio.ssl, heap, deque],
      swiftSettings: strict),
    // From requests to calls, as the Connect protocol has them.
    .target(name: "RPC", dependencies: ["HTTP", "WireSchema", "CZlib"], swiftSettings: strict),

    // Who asks, and what they may.
    .target(
      name: "Access", dependencies: ["Exclusion", "Files", "LockCore", crypto, jwt],
      swiftSettings: strict),

    // From decisions to disk.
    .target(
      name: "Storage", dependencies: ["Exclusion", "LockCore", "LockContent"], swiftSettings: strict
    ),
    // Statements, the order of their parameters, and dialects.
    .target(
      name: "StorageSQL", dependencies: ["Exclusion", "Storage", "LockCore"], swiftSettings: strict),
    .target(
      name: "StorageSQLite",
      dependencies: ["Exclusion", "Storage", "StorageSQL", "LockCore", "CSQLite", "CLinux"],
      swiftSettings: strict),

    // Empty without their traits, and then nothing of them has to be installed.
    .target(
      name: "StorageMariaDB",
      dependencies: [
        "Storage", "StorageSQL", "LockCore",
        .target(name: "CMariaDB", condition: .when(traits: ["MariaDB"])),
      ],
      swiftSettings: strict),
    .target(
      name: "StoragePostgreSQL",
      dependencies: [
        "Exclusion",
        "Storage", "StorageSQL", "LockCore",
        .target(name: "CPostgres", condition: .when(traits: ["PostgreSQL"])),
      ],
      swiftSettings: strict),

    // What people use.
    .target(
      name: "LatchkeyServer",
      dependencies: [
        "Exclusion",
        "Access", "Files", "LockContent", "LockCore", "WireSchema", "HTTP", "HTTPServer", "RPC",
        "Storage", "TLS", protobuf, nio.core, nio.posix, nio.ssl, logging, metrics, lifecycle, heap,
      ],
      swiftSettings: strict),
    .target(
      name: "LatchkeyClient",
      dependencies: [
        "Exclusion",
        "LockContent", "WireSchema", "HTTP", "TLS", "Files", protobuf, nio.core, nio.posix, nio.ssl,
        nio.tls, logging, lifecycle,
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "latchkeyd",
      dependencies: [
        "Exclusion",
        "LatchkeyServer", "LockCore", "Storage", "StorageSQL", "StorageSQLite",
        "StoragePostgreSQL", "StorageMariaDB", "Access", "Files", "TLS", "WireSchema", arguments,
        logging, metrics,
        lifecycle,
        nio.core, nio.posix,
        "CLinux",
      ],
      swiftSettings: strict, linkerSettings: program),
    .executableTarget(
      name: "latchkey",
      dependencies: [
        "Exclusion",
        "LatchkeyClient", "LockContent", "WireSchema", "HTTP", "CLinux", protobuf, arguments,
        logging, nio.core, nio.posix,
      ],
      swiftSettings: strict, linkerSettings: program),

    .target(
      name: "TestKit",
      dependencies: [
        "Exclusion",
        "LockContent", "LockCore", "Storage", "StorageSQL", "StorageSQLite", "LatchkeyServer",
        "HTTP", "TLS", "WireSchema", "CSQLite", nio.core, nio.posix, logging, x509, crypto,
      ],
      path: "Tests/TestKit", swiftSettings: strict),
    .testTarget(
      name: "LockContentTests", dependencies: ["LockContent", "TestKit"], swiftSettings: strict),
    .testTarget(
      name: "LockCoreTests", dependencies: ["LockCore", "LockContent"], swiftSettings: strict),
    .testTarget(
      name: "AccessTests",
      dependencies: ["Access", "Files", "LockCore", "TestKit", jwt, cryptoExtras],
      swiftSettings: strict),
    .testTarget(
      name: "WireSchemaTests", dependencies: ["WireSchema", "LockContent", "TestKit", protobuf],
      swiftSettings: strict),
    .testTarget(
      name: "HTTPTests", dependencies: ["HTTP", "TestKit", nio.core, nio.embedded],
      swiftSettings: strict),
    .testTarget(
      name: "HTTPServerTests",
      dependencies: ["HTTP", "HTTPServer", "TLS", "TestKit", nio.core, nio.embedded, nio.ssl],
      swiftSettings: strict),
    .testTarget(
      name: "RPCTests",
      dependencies: ["RPC", "HTTP", "WireSchema", "TestKit", "CZlib"], swiftSettings: strict),
    .testTarget(
      name: "StorageTests",
      dependencies: [
        "Exclusion",
        "Storage", "StorageSQL", "StorageSQLite", "StoragePostgreSQL", "StorageMariaDB",
        "LockContent", "LockCore", "TestKit",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "LatchkeyServerTests",
      dependencies: [
        "Exclusion",
        "Access", "LatchkeyServer", "LockCore", "HTTP", "HTTPServer", "RPC", "Storage", "TestKit",
        "WireSchema", "TLS", "Files", "LockContent", jwt, logging, metrics, nio.core, nio.posix,
        nio.embedded, nio.ssl,
        "latchkeyd",
        "latchkey",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "LatchkeyClientTests",
      dependencies: [
        "Exclusion",
        "LatchkeyClient", "LatchkeyServer", "Access", "Files", "HTTP", "TLS", "WireSchema",
        "TestKit",
        "latchkeyd",
        "latchkey", "StorageSQLite", protobuf, lifecycle, logging, nio.core, nio.posix,
        nio.embedded,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "CompatibilityTests",
      dependencies: [
        "Exclusion",
        "LatchkeyServer", "LatchkeyClient", "HTTP", "HTTPServer", "Storage", "StorageSQL",
        "StorageSQLite", "LockCore", "TestKit", "WireSchema", "latchkeyd", "latchkey", protobuf,
      ],
      // Recorded databases, which tests find by the path of their source file; programs in Python.
      exclude: ["Capsules", "Fleet"],
      swiftSettings: strict),
  ] + fuzzing,
  swiftLanguageModes: [.v6]
)
