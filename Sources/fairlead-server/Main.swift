import Daemons

/// `fairlead-server`: the end of the tunnel that backends stand behind.
@main
enum Main {
    static func main() { CommandLaunch.run(ServerCommand.self) }
}
