import Testing

@testable import Runtime

@Suite struct DescriptorBudgetTests {
    @Test(arguments: [(0, 3), (256, 3), (700, 333), (20_000, 14_808), (1 << 20, 786_240)])
    func flowsLeaveDescriptorsForOthers(descriptors: Int, flows: Int) {
        #expect(DescriptorBudget.flows(descriptors: descriptors) == flows)
    }
}
