using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Connections;

/// <summary>
/// Decides whether the client of a connection still lives: from its pongs, from the bytes that it takes, and from what the kernel knows of both.
/// </summary>
/// <remarks>The outbox is the lock. The caller holds it during every call.</remarks>
/// <param name="connection">The connection that is judged.</param>
/// <param name="transport">Knows the kernel's figures, and what the client has sent that is not read yet.</param>
/// <param name="outbox">Knows what is owed and what waits. It gets the pings that are due, and the time of the next look.</param>
/// <param name="heartbeat">Says when a ping is due and which pong is missing.</param>
/// <param name="writer">Keeps the progress of the client.</param>
/// <param name="context">What all connections of the server share.</param>
internal sealed class LivenessJudge(
    Connection connection, Transport transport, Outbox outbox, Heartbeat heartbeat, ConnectionWriter writer, ConnectionContext context)
{
    /// <summary>What had arrived of the client when the last ping was due.</summary>
    private long _arrived;

    /// <summary>Does what is due: it looks at the progress of the client, owes a ping, and counts a missing pong as a strike.</summary>
    /// <param name="now">The present time.</param>
    /// <param name="stall">How late the wheel itself is.</param>
    /// <param name="strikes">How many strikes there are in a row, if this call has added one; else 0.</param>
    /// <returns>The end, if the client is dead or takes too little; else null.</returns>
    public Disconnect? Check(TimeSpan now, TimeSpan stall, out int strikes)
    {
        strikes = 0;
        return WriteOverdue(now, stall) ?? Judge(now, stall, out strikes);
    }

    /// <summary>
    /// Looks, when a look is due, whether the client takes the bytes that wait for it. What the client's kernel acknowledges counts as taken.
    /// Where our kernel cannot be asked, the write itself has to complete in time. Returns the end of a client that takes too little; else null.
    /// </summary>
    private Disconnect? WriteOverdue(TimeSpan now, TimeSpan stall)
    {
        if (now < outbox.LookDue || writer.Progress is not { } progress)
            return null;
        progress.Forgive(stall);
        TcpInfo? tcp = transport.Tcp;
        bool isPending = tcp is { } info && progress.Look(info, now);
        if (!isPending && !outbox.IsWaiting)
        {
            outbox.LookAt(Heartbeat.Never);
            return null;
        }
        if (DeadPath(tcp) is { } dead)
            return dead;
        if (progress.LastMove + context.WriteTimeout <= now)
        {
            // A slow client's kernel still answers our kernel's probes. A kernel that is silent as well is no client that reads too slowly.
            return tcp is { } path && path.IsSilent(context.WriteTimeout / 2)
                ? Disconnect.ByDeadPath(path.SinceAck, tcp, connection.IsBehindProxy)
                : Disconnect.BySlowness(context.WriteTimeout);
        }
        outbox.LookAt(NextLook(now, progress, tcp));
        return null;
    }

    /// <summary>When to look again. It is never later than the moment at which a client that still takes nothing is cut.</summary>
    private TimeSpan NextLook(TimeSpan now, SendProgress progress, TcpInfo? tcp)
    {
        TimeSpan next = now + context.LookEvery;
        TimeSpan slow = progress.LastMove + context.WriteTimeout;
        TimeSpan dead = tcp?.WhenSilent(now, context.Timings.Patience) ?? Heartbeat.Never;
        next = slow < next ? slow : next;
        return dead < next ? dead : next;
    }

    /// <summary>Does what the heartbeat wants: it owes the client a ping, or it counts a missing pong as a strike.</summary>
    /// <param name="now">The present time.</param>
    /// <param name="stall">How late the wheel itself is.</param>
    /// <param name="strikes">How many strikes there are in a row, if this call has added one; else 0.</param>
    /// <returns>The end, if the client is dead; else null.</returns>
    private Disconnect? Judge(TimeSpan now, TimeSpan stall, out int strikes)
    {
        strikes = 0;
        HeartbeatStep step;
        while (!outbox.IsClosed && (step = heartbeat.Advance(now, stall)) != HeartbeatStep.None)
        {
            if (step == HeartbeatStep.Ping)
            {
                outbox.OwePing();
                _arrived = transport.Arrived;
                // This ping cannot leave now, so it gets no deadline. The kernel can still tell that the path is dead.
                if (outbox.IsWaiting && LookAtPath(now, transport.Tcp) is { } dead)
                    return dead;
            }
            else if (transport.Arrived > _arrived)
            {
                // Half a TLS record is a sign of life, too, though nothing of it can be read yet.
                continue;
            }
            else if (CouldBeHeard())
            {
                TcpInfo? tcp = transport.Tcp;
                if (tcp is { } info && (writer.Progress ??= new SendProgress()).Judge(info, now, context.Timings.Ping) == Silence.Queued)
                {
                    // The client may take nothing of the bytes before the ping. The looks that begin here find such a client.
                    if (LookAtPath(now, tcp) is { } dead)
                        return dead;
                    continue;
                }
                strikes = heartbeat.Strike();
                context.Metrics.CountStrike();
                if (strikes == 1)
                    context.Metrics.Suspects.Add(connection.Id, now - context.Timings.Timeout);
                if (heartbeat.IsDead)
                    return Disconnect.ByTimeout(strikes, context.Timings, tcp, connection.IsBehindProxy);
            }
            // An answer may be among the bytes that nobody reads yet. The kernel can still tell that the path is dead.
            else if (LookAtPath(now, transport.Tcp) is { } dead)
            {
                return dead;
            }
        }
        return null;
    }

    /// <summary>Returns the end if the path is dead already. If it is not, the next look comes no later than the moment at which it may be.</summary>
    private Disconnect? LookAtPath(TimeSpan now, TcpInfo? tcp)
    {
        if (writer.Progress is { } progress)
            LookSooner(NextLook(now, progress, tcp));
        return DeadPath(tcp);
    }

    private void LookSooner(TimeSpan look) => outbox.LookAt(look < outbox.LookDue ? look : outbox.LookDue);

    /// <summary>Returns the end if the peer's kernel has been silent for longer than a dead peer may stay unnoticed; else null.</summary>
    private Disconnect? DeadPath(TcpInfo? tcp) => tcp is { } info && info.IsSilent(context.Timings.Patience)
        ? Disconnect.ByDeadPath(info.SinceAck, tcp, connection.IsBehindProxy)
        : null;

    /// <summary>
    /// Whether a pong would have been read if it had come. That is not so while bytes of the client wait in the kernel, nor while the read loop
    /// waits for a client that does not read.
    /// </summary>
    private bool CouldBeHeard() => !outbox.IsWaiting && transport.UnreadBytes == 0;
}
