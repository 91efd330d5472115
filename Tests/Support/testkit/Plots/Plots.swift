import ArgumentParser
import Glibc
import Trials

/// Draws the plots of docs/CONGESTION.md.
struct Plots: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plots",
        abstract: "Draw the plots of docs/CONGESTION.md, from trials in virtual time.",
        discussion: "Example: testkit plots docs/plots"
    )

    @Argument(help: "The folder to write them to.")
    var folder: String

    func run() throws {
        for plot in CoursePlot.all {
            let path = "\(self.folder)/\(plot.name).svg"
            guard let file = fopen(path, "w") else {
                throw ValidationError("\(path): \(String(cString: strerror(errno)))")
            }
            fputs(plot.svg(), file)
            fclose(file)
            print(path)
        }
    }
}
