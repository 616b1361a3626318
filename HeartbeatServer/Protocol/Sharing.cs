using System.Collections.Concurrent;

namespace HeartbeatServer.Protocol;

/// <summary>
/// Gives those who have equal values the same object, so that 10,000 clients with the same browser cost the memory of one. It remembers a bounded
/// number of values, whatever clients send. Any thread may ask.
/// </summary>
/// <param name="most">How many values are remembered.</param>
internal sealed class Sharing<T>(int most)
    where T : class
{
    private readonly ConcurrentDictionary<T, T> _known = new();

    /// <summary>Returns an equal object of earlier, or else the value itself.</summary>
    public T Share(T value)
    {
        if (_known.TryGetValue(value, out T? known))
            return known;
        // The values that many have come back at once. So nothing is gained by finding out which they are.
        if (_known.Count >= most)
            _known.Clear();
        return _known.GetOrAdd(value, value);
    }
}
