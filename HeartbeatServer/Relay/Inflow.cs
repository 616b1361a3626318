using System.Runtime.Versioning;
using HeartbeatServer.Connections;
using HeartbeatServer.Engine;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Relay;

/// <summary>What one side of a relayed connection sends: its frames, and the bytes of it that have not been passed on.</summary>
/// <param name="frames">Follows the frames.</param>
[SupportedOSPlatform("linux")]
internal struct Inflow(FrameScanner frames)
{
    /// <summary>
    /// So many bytes are taken of a side whose bytes go no further: enough for a message that is on its way, and for the Close frame behind it. After that
    /// nobody reads from the side. TCP slows it down, and it is watched for its end alone.
    /// </summary>
    public const int MostIgnored = 1024 * 1024;

    private int _ignored;

    public FrameScanner Frames = frames;

    /// <summary>The received bytes. A header or a control frame that is not whole stays here until the next receive.</summary>
    public ReceiveBuffer Bytes;

    /// <summary>Whether the side had more to send when its turn was over.</summary>
    public bool IsBusy { get; private set; }

    /// <summary>Whether the last write to the other side had to wait.</summary>
    public bool IsSlow { get; set; }

    /// <summary>Whether nobody reads from the side any more.</summary>
    public readonly bool IsOver => _ignored > MostIgnored;

    /// <summary>Throws away what was received: it goes no further.</summary>
    /// <param name="count">How many bytes came.</param>
    public void Ignore(int count)
    {
        _ignored += count;
        Bytes.Dispose();
    }

    /// <summary>Receives once. If bytes came, <see cref="Bytes"/> is to be given back.</summary>
    /// <returns>How many bytes came; 0 if the side has ended the connection, -1 if nothing has come.</returns>
    public int Receive(EpollTransport side)
    {
        Memory<byte> room = Bytes.Take(IsSlow);
        int received = side.TryRead(room);
        IsBusy = received == room.Length;
        if (received <= 0)
            Bytes.Return();
        return received;
    }
}
