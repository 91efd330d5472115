import Commands
import Daemons

/// `fairlead`: the tool for keys, configurations and status.
@main
enum Main {
    static func main() { CommandLaunch.run(FairleadCommand.self) }
}
