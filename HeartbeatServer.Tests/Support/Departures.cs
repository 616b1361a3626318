using System.Net;
using HeartbeatServer.Protocol;
using HeartbeatServer.Telemetry;
using Microsoft.Extensions.Time.Testing;

namespace HeartbeatServer.Tests.Support;

/// <summary>Ends of connections that never were, for the rules that read the record. Times are in seconds since the start.</summary>
internal sealed class Departures
{
    private readonly List<Departure> _all = [];

    /// <param name="At">When it ended.</param>
    /// <param name="Age">How old it was.</param>
    /// <param name="From">How long no byte had come from the client; as long as the age if null.</param>
    /// <param name="To">How long no byte had gone to the client; as <paramref name="From"/> if null.</param>
    /// <param name="Cause">Why it ended.</param>
    /// <param name="Host">The last part of the client's address.</param>
    /// <param name="IsBlocked">Whether bytes waited that somebody did not take.</param>
    public sealed record Departure(
        double At, double Age, double? From = null, double? To = null, DisconnectCause Cause = DisconnectCause.ClientVanished, int Host = 1,
        bool IsBlocked = false);

    /// <summary>How many connections are open at a moment, besides those that will end.</summary>
    public int Others { get; init; }

    public void Add(Departure departure) => _all.Add(departure);

    public void Add(int count, Func<int, Departure> departure) => _all.AddRange(Enumerable.Range(0, count).Select(departure));

    /// <summary>The record after all of it.</summary>
    public EndSnapshot Record() => Records(_ => false).Last();

    /// <summary>What the record says at a moment.</summary>
    /// <param name="pingSeconds"><c>--ping</c>.</param>
    /// <param name="after">So many seconds after the last end.</param>
    public IReadOnlyList<Finding> Explained(double pingSeconds = 0, double after = 10)
    {
        EndSnapshot record = Record();
        TimeSpan now = (record.Ends.Count == 0 ? TimeSpan.Zero : record.Ends[^1].Moment) + TimeSpan.FromSeconds(after);
        return Why.Explain(record, [], TimeSpan.FromSeconds(pingSeconds), now);
    }

    /// <summary>The record, again and again as it grows.</summary>
    /// <param name="isLook">Whether somebody looks after so many ends. The last look is after all of them.</param>
    public IEnumerable<EndSnapshot> Records(Func<int, bool> isLook)
    {
        var time = new FakeTimeProvider(DateTimeOffset.MinValue + TimeSpan.FromDays(1));
        var log = new EndLog(time);
        long start = time.GetTimestamp();
        Departure[] all = [.. _all.OrderBy(each => each.At)];
        double[] opened = [.. all.Select(each => each.At - each.Age).Order()];
        for (int i = 0; i < all.Length; i++)
        {
            Departure one = all[i];
            TimeSpan wait = TimeSpan.FromSeconds(one.At) - time.GetElapsedTime(start);
            if (wait > TimeSpan.Zero)
                time.Advance(wait);
            var figures = new ConnectionFigures
            {
                Age = TimeSpan.FromSeconds(one.Age),
                SinceLastByte = TimeSpan.FromSeconds(one.From ?? one.Age),
                SinceLastSent = TimeSpan.FromSeconds(one.To ?? one.From ?? one.Age),
                IsBlocked = one.IsBlocked,
            };
            int open = Others + Array.FindLastIndex(opened, moment => moment <= one.At) + 1 - i;
            log.Add(i + 1, new IPEndPoint(IPAddress.Parse($"192.0.2.{one.Host}"), 5000 + (i % 1000)), ClientInfo.Unknown, new Disconnect(one.Cause, ""), figures, open);
            if (isLook(i + 1))
                yield return log.Snapshot();
        }
        yield return log.Snapshot();
    }
}
