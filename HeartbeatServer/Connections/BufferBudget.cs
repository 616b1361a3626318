using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>What a connection holds of the <see cref="BufferBudget"/>.</summary>
/// <param name="Bytes">Of its arrays.</param>
/// <param name="IsUnsent">Whether they are replies that wait for the client; otherwise they are a message that waits for its rest.</param>
/// <param name="Since">When the client last took anything, or sent anything: as <see cref="Engine.TimingWheel.Now"/>.</param>
/// <param name="IsGivenUp">Whether the connection was told to give them back, and is about to.</param>
internal readonly record struct HeldBuffers(long Bytes, bool IsUnsent, TimeSpan Since, bool IsGivenUp);

/// <summary>
/// The memory that all connections together may hold: for messages that are not finished, and for replies that their clients do not take. Past the limit
/// somebody has to go. If messages hold more than replies do, it is the connection with the largest message; else it is the one whose client has taken
/// nothing for the longest time.
/// </summary>
/// <remarks>
/// An idle connection holds nothing, and neither does a message that comes whole into the receive buffer. Within the limit an array costs one addition when it is
/// rented and one when it is returned. Only past the limit it is looked who holds what.
/// </remarks>
/// <param name="limit">In bytes (<c>--max-buffered</c>).</param>
/// <param name="table">The connections.</param>
internal sealed class BufferBudget(long limit, ConnectionTable table)
{
    private readonly Lock _gate = new();
    private long _used;

    /// <summary>A quarter of the memory that the process may use: the container's, or the machine's.</summary>
    public static long DefaultLimit => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4;

    /// <summary>In bytes.</summary>
    public long Limit => limit;

    /// <summary>What the connections hold now, in bytes.</summary>
    public long Used => Interlocked.Read(ref _used);

    /// <summary>Reserves memory that a connection is about to take for a message. Others may have to go for it.</summary>
    /// <param name="connection">Whose read loop asks.</param>
    /// <param name="bytes">The length of the array. <see cref="Release"/> gives it back.</param>
    /// <returns>False if this connection is the one that has to go: it was told so, and nothing is reserved.</returns>
    public bool TryReserve(Connection connection, int bytes)
    {
        if (Interlocked.Add(ref _used, bytes) <= limit || MakeRoom(connection, bytes))
            return true;
        Release(bytes);
        return false;
    }

    /// <summary>Counts memory that a connection holds already, for replies that have to wait. Somebody may have to go for it, the connection itself, too.</summary>
    /// <param name="bytes">As for <see cref="TryReserve"/>.</param>
    public void Add(int bytes)
    {
        if (Interlocked.Add(ref _used, bytes) > limit)
            MakeRoom(null, 0);
    }

    public void Release(int bytes) => Interlocked.Add(ref _used, -bytes);

    /// <summary>Tells connections to give up what they hold, until the others are within the limit.</summary>
    /// <param name="asking">Is about to hold more; null if nobody is.</param>
    /// <param name="more">In an array of so many bytes, which takes the place of what it holds.</param>
    /// <returns>False if the one that asks has to go.</returns>
    private bool MakeRoom(Connection? asking, int more)
    {
        while (true)
        {
            (Connection Connection, HeldBuffers Held)? next;
            lock (_gate)
            {
                next = Next(asking, more);
                next?.Connection.MarkGivenUp();
            }
            if (next is not var (connection, held))
                return true;
            connection.GiveUpBuffers(Disconnect.ByBufferLimit(held.Bytes, held.IsUnsent, limit));
            if (connection == asking)
                return false;
        }
    }

    /// <summary>Who has to go next; null if nobody has to. Under the lock, so that two threads that are past the limit do not both choose somebody for the same bytes.</summary>
    private (Connection Connection, HeldBuffers Held)? Next(Connection? asking, int more)
    {
        long givenUp = 0, unfinished = 0, unsent = 0;
        (Connection Connection, HeldBuffers Held)? largest = null, slowest = null;
        foreach (Connection connection in table.Open)
        {
            HeldBuffers held = connection.HeldBuffers();
            if (connection == asking)
                held = held with { Bytes = Math.Max(held.Bytes, more) };
            if (held.Bytes == 0)
                continue;
            if (held.IsGivenUp)
            {
                givenUp += held.Bytes;
            }
            else if (held.IsUnsent)
            {
                unsent += held.Bytes;
                if (slowest is not var (_, other) || held.Since < other.Since)
                    slowest = (connection, held);
            }
            else
            {
                unfinished += held.Bytes;
                if (largest is not var (_, other) || IsLarger(held, other))
                    largest = (connection, held);
            }
        }
        return Used - givenUp <= limit ? null : unfinished >= unsent ? largest : slowest;
    }

    /// <summary>Of two that are equally large, the one whose client has been silent for longer goes.</summary>
    private static bool IsLarger(in HeldBuffers one, in HeldBuffers other) =>
        one.Bytes > other.Bytes || (one.Bytes == other.Bytes && one.Since < other.Since);
}
