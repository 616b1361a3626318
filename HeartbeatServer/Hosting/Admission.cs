using System.Net;
using System.Runtime.InteropServices;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Hosting;

/// <summary>
/// Gives every connection a place: <c>--max-connections</c> in all, and <c>--max-connections-per-ip</c> for each address. A connection takes its place
/// before the 101, so that no race lets more in than there are places. It gives the place back when the upgrade fails or when it ends. Each IPv6 address
/// counts by itself, although a client may have a whole network of them.
/// </summary>
/// <param name="most">Places in all; 0 for no limit.</param>
/// <param name="mostPerAddress">Places for each address; 0 for no limit.</param>
internal sealed class Admission(int most, int mostPerAddress)
{
    private readonly Lock _gate = new();
    private int _most = most;

    // Only addresses that have a place. Empty if there is no limit for each address.
    private readonly Dictionary<IPAddress, int> _perAddress = [];
    private int _count;

    /// <summary>Whether the next client would be refused, whoever it is.</summary>
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
    /// <returns>Null; or, if there is no place, the refusal.</returns>
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

    /// <summary>Gives back the place that <see cref="TryEnter"/> took.</summary>
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
