using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace LoadGenerator;

/// <summary>
/// The system calls of a client: non-blocking TCP over IPv4. <see cref="System.Net.Sockets.Socket"/> would do, but costs the generator
/// more than a fast server costs, and then it is the generator that is measured.
/// </summary>
internal static unsafe partial class Linux
{
    public const int WouldBlock = 11;
    public const int NotConnected = 107;
    public const int InProgress = 115;

    private const int Inet = 2;
    private const int Stream = 1, NonBlocking = 0x800, CloseOnExec = 0x80000;
    private const int LevelIp = 0, BindAddressNoPort = 24;
    private const int LevelTcp = 6, NoDelay = 1;
    private const int NoSignal = 0x4000;

    /// <summary>The error of the last call that returned -1.</summary>
    public static int LastError => Marshal.GetLastPInvokeError();

    /// <summary>A non-blocking socket that will connect from 127.0.0.<paramref name="source"/>.</summary>
    public static int OpenSocket(int source)
    {
        int fd = Check(socket(Inet, Stream | NonBlocking | CloseOnExec, 0), "socket");
        int on = 1;
        // The port is chosen by connect(), when the pair of addresses is known: each source address has the whole range.
        Check(setsockopt(fd, LevelIp, BindAddressNoPort, &on, sizeof(int)), "IP_BIND_ADDRESS_NO_PORT");
        Check(setsockopt(fd, LevelTcp, NoDelay, &on, sizeof(int)), "TCP_NODELAY");
        Address address = Address.Loopback(source, 0);
        Check(bind(fd, &address, sizeof(Address)), "bind");
        return fd;
    }

    /// <returns>False if the connection failed; true if it stands or is on its way.</returns>
    public static bool Connect(int fd, int port)
    {
        Address address = Address.Loopback(1, port);
        return connect(fd, &address, sizeof(Address)) == 0 || LastError == InProgress;
    }

    /// <returns>Bytes sent, or -1.</returns>
    public static int Send(int fd, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* first = bytes)
            return (int)send(fd, first, (nuint)bytes.Length, NoSignal);
    }

    /// <returns>Bytes received, 0 at the end of the stream, or -1.</returns>
    public static int Receive(int fd, Span<byte> bytes)
    {
        fixed (byte* first = bytes)
            return (int)recv(fd, first, (nuint)bytes.Length, 0);
    }

    [LibraryImport("libc", EntryPoint = "close")]
    public static partial int Close(int fd);

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    public static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    public static partial int EpollControl(int epoll, int operation, int fd, byte* change);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    public static partial int EpollWait(int epoll, byte* events, int capacity, int milliseconds);

    /// <summary>Lets every other thread of this core come before the calling one.</summary>
    public static void YieldToOthers() => Check(setpriority(0 /* this thread */, 0, 19), "setpriority");

    public static int Check(int result, string call) =>
        result >= 0 ? result : throw new InvalidOperationException($"{call}: {Marshal.GetPInvokeErrorMessage(LastError)}");

#pragma warning disable SYSLIB1054, IDE1006 // The names of the manual pages.
    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setsockopt(int fd, int level, int name, int* value, uint length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setpriority(int which, uint who, int nice);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int bind(int fd, Address* address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int fd, Address* address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int fd, byte* bytes, nuint count, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recv(int fd, byte* bytes, nuint count, int flags);
#pragma warning restore

    /// <summary>struct sockaddr_in.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 16)]
    private readonly struct Address
    {
        private readonly ushort _family;
        private readonly ushort _port;
        private readonly uint _host;

        private Address(uint host, ushort port) =>
            (_family, _port, _host) = (Inet, BinaryPrimitives.ReverseEndianness(port), BinaryPrimitives.ReverseEndianness(host));

        public static Address Loopback(int last, int port) => new(0x7F000000u + (uint)last, (ushort)port);
    }
}
