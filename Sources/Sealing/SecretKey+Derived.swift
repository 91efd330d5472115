import CSodium
import Primitives

extension SecretKey {
    /// Sixteen bytes that only the owner of the key can know, others for each `label`, the same
    /// for as long as the key lives (BLAKE2b with the key as its key).
    public func derived(_ label: StaticString) -> (first: UInt64, second: UInt64) {
        var result: (first: UInt64, second: UInt64) = (0, 0)
        withUnsafeMutablePointer(to: &result) { result in
            _ = crypto_generichash(
                UnsafeMutableRawPointer(result).bytes,
                16,
                label.utf8Start,
                UInt64(label.utf8CodeUnitCount),
                self.base.bytes,
                SecretKey.byteCount
            )
        }
        return result
    }
}
