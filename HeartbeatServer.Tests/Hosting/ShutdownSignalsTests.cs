using System.Diagnostics;
using System.Globalization;
using System.Runtime.Versioning;
using HeartbeatServer.Hosting;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Hosting;

/// <summary>Sends real signals to this process. While they are registered, they do not end the process.</summary>
[NonParallelizable]
[Platform(Exclude = "Win")]
[UnsupportedOSPlatform("windows")]
public sealed class ShutdownSignalsTests
{
    [TestCase("TERM", "SIGTERM")]
    [TestCase("INT", "SIGINT")]
    [TestCase("QUIT", "SIGQUIT")]
    [TestCase("HUP", "SIGHUP")]
    public async Task The_first_signal_has_a_name_and_the_second_cancels(string signal, string name)
    {
        using var signals = new ShutdownSignals();
        var second = new TaskCompletionSource();
        await using CancellationTokenRegistration registration = signals.Second.Register(second.SetResult);
        Assert.That(signals.First.IsCompleted, Is.False);

        await SendAsync(signal);
        Assert.That(await signals.First.InTime(), Is.EqualTo(name));
        Assert.That(second.Task.IsCompleted, Is.False);

        await SendAsync(signal);
        await second.Task.InTime();
    }

    [Test]
    public async Task The_two_signals_count_together()
    {
        using var signals = new ShutdownSignals();
        var second = new TaskCompletionSource();
        await using CancellationTokenRegistration registration = signals.Second.Register(second.SetResult);

        await SendAsync("INT");
        await signals.First.InTime();
        await SendAsync("TERM");

        await second.Task.InTime();
    }

    private static async Task SendAsync(string signal)
    {
        using Process kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {Environment.ProcessId.ToString(CultureInfo.InvariantCulture)}"]);
        await kill.WaitForExitAsync().InTime();
        Assert.That(kill.ExitCode, Is.Zero);
    }
}
