extension SecretKey {
    /// Reads a key file: blank lines, comment lines starting with `#`, and one key, either labelled
    /// `FAIRLEAD-SECRET-KEY:` or a bare WireGuard key.
    public convenience init(keyFileText: String) throws(KeyFileError) {
        self.init(owning: try KeyText.read(keyFileText, .secret).key)
    }

    /// The text of a new key file.
    ///
    /// `created` is a date for human eyes.
    ///
    /// The result is an ordinary string, which nobody wipes: for `keygen` only.
    public func keyFileText(created: String) -> String {
        let key = Base64Key.encode(UnsafeRawBufferPointer(start: self.base, count: Self.byteCount))
        return """
            # created: \(created)
            # public key: \(self.publicKey)
            \(KeyKind.secret.label)\(key)

            """
    }
}
