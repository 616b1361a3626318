using System.Net;
using System.Net.Sockets;

namespace HeartbeatServer.Relay;

/// <summary>
/// The addresses of the application. A name is looked up by the framework, one look-up at a time, and its addresses are kept for a few seconds: a name
/// may soon lead somewhere else.
/// </summary>
/// <param name="host">A name or an address.</param>
/// <param name="port">The port.</param>
/// <param name="time">The clock.</param>
/// <param name="lookUp">Looks a name up; a test gives another one.</param>
internal sealed class UpstreamAddresses(string host, int port, TimeProvider time, Func<string, Task<IPAddress[]>>? lookUp = null)
{
    /// <summary>How long the result of a look-up is kept.</summary>
    public static readonly TimeSpan KeptFor = TimeSpan.FromSeconds(5);

    private readonly Func<string, Task<IPAddress[]>> _lookUp = lookUp ?? (name => Dns.GetHostAddressesAsync(name));
    private readonly IPEndPoint[]? _fixed = IPAddress.TryParse(host, out IPAddress? address) ? [new IPEndPoint(address, port)] : null;

    // The lock guards these fields.
    private readonly Lock _gate = new();
    private IPEndPoint[] _kept = [];
    private long _keptSince;
    private Task<IPEndPoint[]>? _inProgress;
    private IPEndPoint? _lastGood;

    /// <summary>The addresses, in the order in which to try them: the one that worked last comes first, the others as the look-up gave them.</summary>
    /// <returns>At least one.</returns>
    /// <exception cref="SocketException">The name has no address.</exception>
    public ValueTask<IPEndPoint[]> GetAsync()
    {
        if (_fixed is not null)
            return new(_fixed);
        lock (_gate)
        {
            if (_kept.Length > 0 && time.GetElapsedTime(_keptSince) < KeptFor)
                return new(_kept);
            return new(_inProgress ??= LookUpAsync());
        }
    }

    /// <summary>
    /// Notes what an attempt to connect has come to. An address that works is tried first from now on. An address that refuses is not tried again before the
    /// next look-up.
    /// </summary>
    public void Tried(IPEndPoint address, SocketError result)
    {
        bool isGood = result == SocketError.Success;
        if (_fixed is not null || (isGood ? address == _lastGood : result != SocketError.ConnectionRefused))
            return;
        lock (_gate)
        {
            if (isGood)
                _lastGood = address;
            _kept = isGood ? InOrder(_kept) : [.. _kept.Where(each => !each.Equals(address))];
        }
    }

    private async Task<IPEndPoint[]> LookUpAsync()
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // the caller holds the lock
        try
        {
            IPAddress[] found = await _lookUp(host);
            if (found.Length == 0)
                throw new SocketException((int)SocketError.NoData);
            lock (_gate)
            {
                _kept = InOrder([.. found.Select(each => new IPEndPoint(each, port))]);
                _keptSince = time.GetTimestamp();
                return _kept;
            }
        }
        finally
        {
            lock (_gate)
                _inProgress = null;
        }
    }

    private IPEndPoint[] InOrder(IPEndPoint[] addresses) => [.. addresses.OrderByDescending(each => each.Equals(_lastGood))];
}
