/// Byte buffers at addresses that stay, for interfaces that take many at once.
final class Buffers {
    let pointers: UnsafeMutableBufferPointer<UnsafeMutablePointer<UInt8>>
    let byteCount: Int

    init(_ contents: [[UInt8]], byteCount: Int) {
        self.byteCount = byteCount
        self.pointers = .allocate(capacity: contents.count)
        for (index, bytes) in contents.enumerated() {
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCount + 1)
            for at in 0..<byteCount { memory[at] = at < bytes.count ? bytes[at] : 0 }
            // A canary: kernels write nothing past the end.
            memory[byteCount] = 0xA5
            self.pointers.initializeElement(at: index, to: memory)
        }
    }

    deinit {
        for pointer in self.pointers { pointer.deallocate() }
        self.pointers.deallocate()
    }

    var all: UnsafeBufferPointer<UnsafeMutablePointer<UInt8>> { .init(self.pointers) }
    var sources: [UnsafePointer<UInt8>?] { self.pointers.map { UnsafePointer($0) } }
    var targets: [UnsafeMutablePointer<UInt8>?] { Array(self.pointers) }
    var areIntact: Bool { self.pointers.allSatisfy { $0[self.byteCount] == 0xA5 } }

    subscript(index: Int) -> [UInt8] {
        get {
            Array(UnsafeBufferPointer(start: self.pointers[index], count: self.byteCount))
        }
        set {
            for at in 0..<self.byteCount { self.pointers[index][at] = newValue[at] }
        }
    }
}
