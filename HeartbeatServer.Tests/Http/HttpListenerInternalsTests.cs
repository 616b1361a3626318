using System.Globalization;
using System.Net;
using HeartbeatServer.Tests.Support;

namespace HeartbeatServer.Tests.Http;

public sealed class HttpTakeoverTests
{
    /// <summary>Otherwise nothing would be wrong that one could see, but the framework's thread would wake up for every byte too.</summary>
    [Test]
    [Platform("Linux")]
    public async Task The_socket_is_watched_by_our_event_loop_and_no_longer_by_the_framework()
    {
        await using ServerFixture server = ServerFixture.Start();
        using ScriptedPeer peer = await server.UpgradedPeerAsync();
        await server.ConnectionAsync();

        int[] watched = [.. WatchedBy(await DescriptorAsync(server.Port, ((IPEndPoint)peer.Address).Port))];

        Assert.That(watched, Has.Length.EqualTo(1));
        peer.SendFin();
        await server.EndedAsync();
    }

    /// <summary>Descriptors of this process's epoll instances that watch this one.</summary>
    private static IEnumerable<int> WatchedBy(int descriptor)
    {
        foreach (string file in Directory.EnumerateFiles("/proc/self/fdinfo"))
        {
            string[] lines;
            try
            {
                lines = File.ReadAllLines(file);
            }
            catch (IOException)
            {
                continue; // closed meanwhile
            }
            foreach (string line in lines.Where(line => line.StartsWith("tfd:", StringComparison.Ordinal)))
            {
                if (Number(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) == descriptor)
                    yield return Number(Path.GetFileName(file));
            }
        }
    }

    /// <summary>The server's end of a connection, by its two ports.</summary>
    private static async Task<int> DescriptorAsync(int server, int client)
    {
        string ends = $":{Hex(server)} 0100007F:{Hex(client)} ";
        string line = (await File.ReadAllLinesAsync("/proc/self/net/tcp")).Single(line => line.Contains(ends, StringComparison.Ordinal));
        string inode = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[9];
        return Directory.EnumerateFiles("/proc/self/fd")
            .Where(file => File.ResolveLinkTarget(file, returnFinalTarget: false)?.Name == $"socket:[{inode}]")
            .Select(file => Number(Path.GetFileName(file)))
            .Single();
    }

    private static string Hex(int port) => port.ToString("X4", CultureInfo.InvariantCulture);

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
