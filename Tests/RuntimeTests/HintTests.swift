import Primitives
import Sealing
import Session
import Testing

@testable import Runtime

/// Every refusal says what to do about it, at both ends.
@Suite struct HintTests {
    private static let key = SecretKey(entropy: .seeded(1)).publicKey

    @Test func everyFailureHasAHintOfItsOwn() {
        let hints = ConnectFailure.allCases.map { $0.hint(about: Self.key) }
        #expect(Set(hints).count == hints.count)
        // Not the words that the log has anyway, nor a look elsewhere.
        for (failure, hint) in zip(ConnectFailure.allCases, hints) {
            #expect(hint.count > failure.label.count + 10, "\(failure)")
            #expect(!hint.contains("log"), "\(failure)")
        }
        #expect(ConnectFailure.noPermission.hint(about: nil).contains("lists no service"))
        #expect(ConnectFailure.unknownKey.hint(about: Self.key).contains("\(Self.key)"))
        #expect(ConnectFailure.unknownKey.hint(about: nil).contains("in its key file"))
    }

    @Test func everyHandshakeThatIsRefusedHasAHintOfItsOwn() {
        let hints = RefusalReason.allCases.map { $0.hint(about: Self.key) }
        #expect(Set(hints).count == hints.count)
        #expect(hints.allSatisfy { $0.count > 20 })
        #expect(RefusalReason.unknownKey.hint(about: Self.key).contains("\(Self.key)"))
    }

    /// What `ServerRole` turns openings down for.
    @Test(arguments: [
        (ResetReason.serviceUnknown, "[[service]]"), (.serviceForbidden, "services"),
        (.originForbidden, "origins"), (.limit, "max_streams"), (.compression, "compression"),
        (.keyExpired, "expires"), (.postQuantum, "post_quantum"),
    ])
    func everyOpeningThatIsRefusedNamesTheKey(reason: ResetReason, key: String) {
        #expect(reason.openingHint?.contains(key) == true)
    }
}
