public import ArgumentParser
public import LatchkeyClient

extension ResourceKind: ExpressibleByArgument {}
