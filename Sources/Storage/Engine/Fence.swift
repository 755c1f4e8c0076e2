/// The check that takes part in every transaction: whether this server may still act on the store.
package enum Fence {
  /// - Throws: ``StoreError`` with code `tooOldServer` where the store has left every shape behind
  ///   that this server knows; `unusable` where it does not say.
  package static func check(_ meta: StoreMeta, _ engine: some StoreEngine) throws(StoreError) {
    guard meta.tokenFloor != StoreCopy.unfinished else {
      throw StoreError(
        .unusable,
        "the store \(engine.location) is a copy that was not finished: empty it, and copy again")
    }
    guard meta.oldestShape >= 1, meta.newestShape >= meta.oldestShape, meta.tokenFloor >= 0,
      meta.epoch >= 0
    else {
      throw StoreError(
        .unusable,
        "the store \(engine.location) is damaged: \(S1.metaTable) lacks shapes, token floor or epoch"
      )
    }
    guard
      !engine.keepsAccount || (meta.setbacks > 0 && meta.opened > 0 && meta.collectedToken != nil)
    else {
      throw StoreError(
        .unusable,
        "the store \(engine.location) is damaged: \(S1.metaTable) lacks setbacks, opened or collected_token"
      )
    }
    guard meta.oldestShape <= engine.shapes.newest else {
      let needed = meta.neededRelease.isEmpty ? "a newer release" : meta.neededRelease
      throw StoreError(
        .tooOldServer,
        "the store \(engine.location) holds shapes s\(meta.oldestShape) to s\(meta.newestShape), "
          + "this server knows only \(engine.shapes); it needs \(needed)")
    }
  }
}
