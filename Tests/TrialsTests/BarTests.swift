import Testing

@testable import Trials

@Suite struct BarTests {
    @Test func placeholder() { #expect(!Bar.all.isEmpty) }
}
