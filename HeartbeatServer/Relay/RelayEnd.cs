using System.Runtime.Versioning;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>The end of a relayed connection: which direction is over, and when both legs are closed whatever their peers do.</summary>
/// <param name="client">The client's leg.</param>
/// <param name="application">The application's leg.</param>
/// <param name="writer">Writes to the client.</param>
/// <param name="wheel">Has the clock.</param>
/// <param name="schedule">Lets the wheel call the connection at a time that <see cref="Due"/> knows already.</param>
[SupportedOSPlatform("linux")]
internal sealed class RelayEnd(
    EpollTransport client, UpstreamLeg application, ConnectionWriter writer, TimingWheel wheel, Action<TimeSpan> schedule)
{
    /// <summary>How long one direction goes on after the other has ended, and how long a Close frame waits for its answer.</summary>
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(10);

    private Deadline _overBy = new(Heartbeat.Never);
    private TimeSpan _latest;
    private bool _isExtended;
    private Deadline _goodbyeBy = new(Heartbeat.Never);
    private bool _downHasEnded;

    /// <summary>Whether a Close frame of the client has passed to the application.</summary>
    public bool ClientHasClosed { get; private set; }

    /// <summary>Whether a Close frame of the application has passed to the client.</summary>
    public bool ApplicationHasClosed { get; private set; }

    public bool HaveBothClosed => ClientHasClosed && ApplicationHasClosed;

    /// <summary>Whether nothing of the client goes to the application any more.</summary>
    private bool UpIsOver => ClientHasClosed || application.IsEnded;

    /// <summary>When <see cref="Check"/> has something to do.</summary>
    public TimeSpan Due => _overBy.Due < _goodbyeBy.Due ? _overBy.Due : _goodbyeBy.Due;

    /// <summary>Goes on without a Close frame of our own that could not leave in time.</summary>
    /// <returns>Whether both legs are to be closed: <see cref="Close"/> does it.</returns>
    public bool Check(TimeSpan now, TimeSpan stall)
    {
        if (_overBy.IsOver(now, stall))
        {
            if (now >= _latest || !LosesBytes())
                return true;
            _overBy = new Deadline(_latest);
        }
        if (_goodbyeBy.IsOver(now, stall))
        {
            _goodbyeBy = new Deadline(Heartbeat.Never);
            if (!writer.HasSentClose)
                EndDown();
        }
        return false;
    }

    /// <summary>Closes both legs.</summary>
    public void Close()
    {
        (_overBy, _goodbyeBy) = (new Deadline(Heartbeat.Never), new Deadline(Heartbeat.Never));
        client.Dispose();
        application.Dispose();
    }

    /// <summary>Gives the Close frame of this server some time: it has to wait while a frame of the application passes.</summary>
    public void ExpectGoodbye()
    {
        TimeSpan due = wheel.Now + Connection.CloseTimeout;
        _goodbyeBy = new Deadline(due);
        schedule(due);
    }

    /// <summary>Notes that a Close frame has passed. The second one ends the connection.</summary>
    public void PassClose(bool isFromClient)
    {
        ClientHasClosed |= isFromClient;
        ApplicationHasClosed |= !isFromClient;
        if (!HaveBothClosed)
        {
            OverWithin(EndTimeout, isExtended: true);
            return;
        }
        // RFC 6455 section 7.1.1: the server closes the connection first. To the client that is the relay; to the relay it is the application, which
        // has some time for it.
        EndDown();
        OverWithin(Connection.CloseTimeout);
    }

    /// <summary>Ends both directions. The peers have a short time to close.</summary>
    public void EndBoth()
    {
        EndUp();
        EndDown();
        OverWithin(Connection.CloseTimeout);
    }

    /// <summary>Lets nothing more go to the application: it gets FIN, or the client's reset.</summary>
    public void EndUp(bool isReset = false)
    {
        application.End(isReset);
        AllowTime();
    }

    /// <summary>Lets nothing more go to the client: it gets FIN, or the application's reset if nothing is unsent.</summary>
    public void EndDown(bool isReset = false)
    {
        if (_downHasEnded)
            return;
        _downHasEnded = true;
        writer.Stop();
        if (isReset && !UpstreamLeg.IsUnsent(client))
            client.Abort();
        else
            client.ShutdownSend();
        AllowTime();
    }

    /// <summary>Gives the peers the usual time to close; a short one if nothing passes any more, whichever way.</summary>
    public void AllowTime() => OverWithin(UpIsOver && writer.IsClosed ? Connection.CloseTimeout : EndTimeout);

    /// <summary>Gives the peers a short time to close, if nothing passes any more.</summary>
    public void Settle()
    {
        if (UpIsOver && writer.IsClosed)
            OverWithin(Connection.CloseTimeout);
    }

    /// <summary>Gives the application the usual time to take what waits for it. The time begins anew with each piece that it takes.</summary>
    public void AllowTimeToRead() => OverWithin(EndTimeout, isExtended: true);

    /// <summary>Notes that bytes have passed: a Close frame may wait behind a long message.</summary>
    public void Extend()
    {
        if (_isExtended)
            (_overBy, _latest) = (new Deadline(wheel.Now + EndTimeout), wheel.Now + EndTimeout);
    }

    /// <summary>
    /// Whether a close would throw away what is on its way to a peer: bytes in this process, or bytes in our kernel, which a close with unread bytes turns into
    /// RST.
    /// </summary>
    private bool LosesBytes() => application.IsWaiting || EndsWithReset(client) || EndsWithReset(application.Transport);

    private static bool EndsWithReset(EpollTransport side) => side.UnreadBytes > 0 && UpstreamLeg.IsUnsent(side);

    /// <summary>Closes both legs after this time, if their peers have not closed them before.</summary>
    /// <param name="time">From now on.</param>
    /// <param name="isExtended">Whether the time begins anew with each byte that passes.</param>
    private void OverWithin(TimeSpan time, bool isExtended = false)
    {
        TimeSpan now = wheel.Now;
        TimeSpan due = now + time;
        if (due >= _overBy.Due && !_isExtended)
            return;
        (_overBy, _latest, _isExtended) = (new Deadline(due), now + EndTimeout, isExtended);
        schedule(due);
    }
}
