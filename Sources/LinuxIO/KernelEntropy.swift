import CLinuxShims
import Glibc
public import Primitives

extension EntropySource {
    /// The kernel's generator, `getrandom(2)`.
    public static func kernel() -> Self {
        Self { bytes in
            guard let base = bytes.baseAddress else { return }
            var filled = 0
            while filled < bytes.count {
                let count = CLinuxShims_getrandom(base + filled, bytes.count - filled)
                if count > 0 {
                    filled += count
                } else {
                    // Once the pool is ready, getrandom() fails only for a bad address.
                    precondition(count == -1 && errno == EINTR, "getrandom failed")
                }
            }
        }
    }
}
