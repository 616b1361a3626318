using System.Diagnostics.CodeAnalysis;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>The application behind the relay: where it is, and how many handshakes with it are under way.</summary>
/// <param name="addresses">Where the application is.</param>
/// <param name="timeout">How long the application may take to answer (<c>--upstream-timeout</c>).</param>
[SupportedOSPlatform("linux")]
[SuppressMessage("Design", "CA1001", Justification = "A handshake may give its turn back at the very end. The semaphore holds nothing of the system.")]
internal sealed class Upstream(UpstreamAddresses addresses, TimeSpan timeout)
{
    /// <summary>The most handshakes under way. More wait for their turn.</summary>
    private const int MostUnderWay = 1000;

    private readonly SemaphoreSlim _turns = new(MostUnderWay, MostUnderWay);

    // All handshakes that have begun and not ended, also those that wait for their turn.
    private readonly Lock _gate = new();
    private readonly HashSet<UpstreamHandshake> _underWay = [];
    private bool _isDraining;
    private int _count;

    public UpstreamAddresses Addresses => addresses;

    public TimeSpan Timeout => timeout;

    /// <summary>The relay's part of a TLS handshake with the application; null if it speaks plain.</summary>
    public UpstreamTls? Tls { get; init; }

    /// <summary>The name of this relay in the Via field: no other relay has it.</summary>
    public string Instance { get; } = Convert.ToHexStringLower(Guid.NewGuid().ToByteArray().AsSpan(0, 6));

    /// <summary>How many handshakes are under way or wait for their turn. Reading it takes no lock.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Counts a handshake that begins. The drain refuses it at once if it comes too late.</summary>
    public void Begin(UpstreamHandshake handshake)
    {
        bool isDraining;
        lock (_gate)
        {
            _underWay.Add(handshake);
            _count = _underWay.Count;
            isDraining = _isDraining;
        }
        if (isDraining)
            handshake.Fail(Refusal.Draining);
    }

    public void End(UpstreamHandshake handshake)
    {
        lock (_gate)
        {
            _underWay.Remove(handshake);
            _count = _underWay.Count;
        }
    }

    /// <summary>Takes a turn to connect, if one is free. <see cref="Leave"/> gives it back.</summary>
    public bool TryEnter() => _turns.Wait(0);

    /// <summary>Waits for a turn to connect. <see cref="Leave"/> gives it back.</summary>
    public Task EnterAsync(CancellationToken cancel) => _turns.WaitAsync(cancel);

    public void Leave() => _turns.Release();

    /// <summary>Refuses all handshakes that are under way, and those that come: the server shuts down.</summary>
    public void Drain()
    {
        UpstreamHandshake[] underWay;
        lock (_gate)
        {
            _isDraining = true;
            underWay = [.. _underWay];
        }
        foreach (UpstreamHandshake handshake in underWay)
            handshake.Fail(Refusal.Draining);
    }
}
