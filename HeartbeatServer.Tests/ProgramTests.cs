using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests;

/// <summary>Starts the program as a user does, as a process of its own, and checks its exit code and what it prints.</summary>
public sealed class ProgramTests
{
    [Test]
    public async Task A_port_in_use_is_exit_code_1_and_is_named()
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        string port = ((IPEndPoint)taken.LocalEndPoint!).Port.ToString(CultureInfo.InvariantCulture);

        using Process program = Start("--host", "127.0.0.1", "--port", port);
        string error = await program.StandardError.ReadToEndAsync().InTime();
        await program.WaitForExitAsync().InTime();

        Assert.That(program.ExitCode, Is.EqualTo(1));
        Assert.That(error, Does.Contain($"--port {port}: the port is in use"));
    }

    [Test]
    public async Task An_admin_port_in_use_is_exit_code_1_and_is_named()
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        string port = ((IPEndPoint)taken.LocalEndPoint!).Port.ToString(CultureInfo.InvariantCulture);

        using Process program = Start(
            "--host", "127.0.0.1", "--port", ServerFixture.FreePort().ToString(CultureInfo.InvariantCulture), "--admin", port);
        string error = await program.StandardError.ReadToEndAsync().InTime();
        await program.WaitForExitAsync().InTime();

        Assert.That(program.ExitCode, Is.EqualTo(1));
        Assert.That(error, Does.Contain($"--admin 127.0.0.1:{port}: port {port} is in use"));
    }

    [Test]
    public async Task A_bad_option_is_exit_code_2_and_nothing_is_started()
    {
        using Process program = Start("--ping", "soon");
        string error = await program.StandardError.ReadToEndAsync().InTime();
        string output = await program.StandardOutput.ReadToEndAsync().InTime();
        await program.WaitForExitAsync().InTime();

        Assert.That(program.ExitCode, Is.EqualTo(2));
        Assert.That(error, Does.StartWith("--ping: 'soon' is not a duration"));
        Assert.That(output, Is.Empty);
    }

    /// <summary>/dev/full takes no byte, as a full disk does not.</summary>
    [TestCase("--help")]
    [TestCase("--version")]
    [TestCase("probe --help")]
    [TestCase("healthcheck http://127.0.0.1:1")]
    [TestCase("probe ws://127.0.0.1:1/")]
    [TestCase("probe ws://127.0.0.1:1/ --json")]
    [Platform("Linux")]
    public async Task Output_that_cannot_be_written_is_one_line_and_exit_code_1(string arguments)
    {
        using Process program = StartIn("/bin/sh", "-c", $"exec dotnet '{typeof(Program).Assembly.Location}' {arguments} >/dev/full");
        string error = await program.StandardError.ReadToEndAsync().InTime();
        await program.WaitForExitAsync().InTime();

        Assert.That(program.ExitCode, Is.EqualTo(1));
        Assert.That(error.TrimEnd(), Does.StartWith("The output cannot be written: ").And.Not.Contain('\n'));
    }

    [Test]
    [Platform("Linux")]
    public async Task A_bad_option_is_exit_code_2_though_nobody_can_be_told()
    {
        using Process program = StartIn("/bin/sh", "-c", $"exec dotnet '{typeof(Program).Assembly.Location}' --ping soon 2>/dev/full");
        await program.WaitForExitAsync().InTime();

        Assert.That(program.ExitCode, Is.EqualTo(2));
    }

    [TestCase("TERM")]
    [TestCase("INT")]
    [Platform(Exclude = "Win")]
    public async Task A_signal_ends_it_with_exit_code_0_and_a_goodbye(string signal)
    {
        int port = ServerFixture.FreePort();
        using Process program = Start("--host", "127.0.0.1", "--port", port.ToString(CultureInfo.InvariantCulture), "--ping", "0");
        Assert.That(await program.StandardOutput.ReadLineAsync().InTime(), Does.Contain($"Listening on ws://127.0.0.1:{port}/ws"));
        using ScriptedPeer peer = await ScriptedPeer.UpgradedAsync(port);
        await peer.SendAsync(ClientFrames.Text("hello"));
        Assert.That((await peer.ReadFrameAsync()).Text, Is.EqualTo("hello"));

        using Process kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {program.Id.ToString(CultureInfo.InvariantCulture)}"]);
        Assert.That((await peer.ReadFrameAsync()).Close, Is.EqualTo("1001 server is shutting down"));
        await peer.SendAsync(ClientFrames.Close(1001));
        Assert.That(await peer.ReadEndAsync(), Is.EqualTo(PeerEnd.Fin));
        string output = await program.StandardOutput.ReadToEndAsync().InTime();
        await program.WaitForExitAsync().InTime();

        Assert.That(program.ExitCode, Is.Zero);
        Assert.That(output, Does.Contain("ended: server_shutdown after").And.Contain("server_shutdown 1").And.Contain("Stopped"));
    }

    /// <summary>A process that ends with the test at the latest, even if it hangs.</summary>
    private static Process Start(params string[] arguments) => StartIn("dotnet", [typeof(Program).Assembly.Location, .. arguments]);

    private static Process StartIn(string file, params string[] arguments)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // Variables of the person who runs the tests must not reach the program.
        foreach (string variable in start.Environment.Keys.Where(name => name.StartsWith("HEARTBEAT_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(variable);
        return Process.Start(start)!;
    }
}
