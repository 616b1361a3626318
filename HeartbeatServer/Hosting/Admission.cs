using System.Net;
using System.Runtime.InteropServices;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Places: <c>--max-connections</c> in all and <c>--max-connections-per-ip</c> for each address. One is taken before the 101, so that no race lets
/// more in, and given back when the upgrade fails or the connection ends. An IPv6 address counts as it is; a network of them is not one client here.
/// </summary>
/// <param name="most">In all; 0 for no limit.</param>
/// <param name="mostPerAddress">0 for no limit.</param>
internal sealed class Admission(int most, int mostPerAddress)
{
    private readonly Lock _gate = new();
    private int _most = most;

    // Only addresses that have a place, and none without a limit.
    private readonly Dictionary<IPAddress, int> _perAddress = [];
    private int _count;

    /// <summary>Whether the next one would be refused, whoever it is.</summary>
    public bool IsFull => _most > 0 && Volatile.Read(ref _count) >= _most;

    /// <summary>Lowers the limit of all places to what the descriptors allow. To be called before the first place is taken.</summary>
    /// <returns>Whether that is lower than the limit was.</returns>
    public bool LimitTo(int possible)
    {
        if (possible >= (_most == 0 ? int.MaxValue : _most))
            return false;
        _most = possible;
        return true;
    }

    /// <summary>Takes a place. <see cref="Leave"/> gives it back.</summary>
    /// <returns>Null, or why there is none.</returns>
    public Refusal? TryEnter(IPAddress address)
    {
        lock (_gate)
        {
            if (_most > 0 && _count >= _most)
                return new Refusal(RefusalReason.ConnectionLimit, $"all {_most} connections are taken; try again later");
            if (mostPerAddress > 0)
            {
                ref int count = ref CollectionsMarshal.GetValueRefOrAddDefault(_perAddress, address, out _);
                if (count >= mostPerAddress)
                    return new Refusal(RefusalReason.IpLimit, $"{mostPerAddress} connection(s) from one address are the limit");
                count++;
            }
            _count++;
            return null;
        }
    }

    /// <summary>Gives a place back.</summary>
    public void Leave(IPAddress address)
    {
        lock (_gate)
        {
            _count--;
            if (mostPerAddress == 0)
                return;
            ref int count = ref CollectionsMarshal.GetValueRefOrNullRef(_perAddress, address);
            if (--count == 0)
                _perAddress.Remove(address);
        }
    }
}
