import Daemons

/// `fairlead-client`: the end of the tunnel that players connect to.
@main
enum Main {
    static func main() { CommandLaunch.run(ClientCommand.self) }
}
