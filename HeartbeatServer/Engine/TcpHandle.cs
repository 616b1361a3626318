using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using HeartbeatServer.Protocol;
using Microsoft.Win32.SafeHandles;

namespace HeartbeatServer.Engine;

/// <summary>
/// The descriptor of a connected TCP socket that was taken out of the framework's <see cref="Socket"/>, and the calls of the system that a transport makes.
/// None of them waits. A call in progress keeps the descriptor open, so its number is never that of another file meanwhile.
/// </summary>
/// <remarks>docs/decisions/0005 says what the framework's socket costs.</remarks>
[SupportedOSPlatform("linux")]
internal sealed unsafe partial class TcpHandle : SafeHandleMinusOneIsInvalid
{
    private const int Peek = 0x2; // MSG_PEEK
    private const int DontWait = 0x40; // MSG_DONTWAIT
    private const int NoSignal = 0x4000; // MSG_NOSIGNAL: a write after a reset is an error, and no signal that ends the process
    private const int ShutdownWrite = 1; // SHUT_WR
    private const int SocketLevel = 1; // SOL_SOCKET
    private const int Error = 4; // SO_ERROR
    private const int Linger = 13; // SO_LINGER
    private const int TcpLevel = 6; // IPPROTO_TCP
    private const int Information = 11; // TCP_INFO
    private const int BytesToRead = 0x541B; // FIONREAD

    private readonly Action _closed;

    /// <param name="socket">The socket. It must not be used any more, and closes nothing.</param>
    /// <param name="closed">Called once, right after the descriptor is closed.</param>
    [SuppressMessage("Usage", "CA1816", Justification = "The socket has nothing left to finalize.")]
    public TcpHandle(Socket socket, Action closed)
        : base(ownsHandle: true)
    {
        _closed = closed;
        SetHandle(socket.SafeHandle.DangerousGetHandle());
        socket.SafeHandle.SetHandleAsInvalid();
        GC.SuppressFinalize(socket);
    }

    /// <summary>Sends as many bytes as the socket takes at once.</summary>
    /// <returns>Their number; 0 with an error.</returns>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    public static int Send(SafeHandle socket, ReadOnlySpan<byte> bytes, out SocketError error)
    {
        fixed (byte* first = bytes)
            return Moved(Send(socket, first, bytes.Length, DontWait | NoSignal), out error);
    }

    /// <summary>Receives what is there.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="buffer">Where the bytes go.</param>
    /// <param name="peek">Whether they also stay in the kernel.</param>
    /// <param name="error"><see cref="SocketError.WouldBlock"/> if there is nothing.</param>
    /// <returns>Their number; 0 at the end of the stream, and with an error.</returns>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    public static int Receive(SafeHandle socket, Span<byte> buffer, bool peek, out SocketError error)
    {
        fixed (byte* first = buffer)
            return Moved(Receive(socket, first, buffer.Length, peek ? DontWait | Peek : DontWait), out error);
    }

    /// <summary>How many bytes could be received; 0 if the connection is gone.</summary>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    public static int Available(SafeHandle socket) => Control(socket, BytesToRead, out int count) == 0 ? count : 0;

    /// <summary>Sends FIN behind what was sent.</summary>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    public static void ShutdownSend(SafeHandle socket) => _ = Shutdown(socket, ShutdownWrite); // a connection that is gone has no end to send

    /// <summary>Lets the close send RST, and drop what was not sent.</summary>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    public static void ResetOnClose(SafeHandle socket)
    {
        int* linger = stackalloc int[] { 1, 0 }; // struct linger: on, for no time
        _ = SetOption(socket, SocketLevel, Linger, linger, 2 * sizeof(int));
    }

    /// <summary>What the kernel knows of the connection; null if it is gone, or if a sandbox forbids the call.</summary>
    public static TcpInfo? Info(SafeHandle socket)
    {
        Span<byte> info = stackalloc byte[TcpInfo.Size];
        int length = info.Length;
        try
        {
            fixed (byte* first = info)
                return GetOption(socket, TcpLevel, Information, first, ref length) == 0 ? TcpInfo.Read(info[..length]) : null;
        }
        catch (ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>Takes the error that the kernel keeps for the next call; <see cref="SocketError.OperationAborted"/> if the descriptor is closed.</summary>
    public static SocketError TakeError(SafeHandle socket)
    {
        int* error = stackalloc int[] { 0 };
        int length = sizeof(int);
        try
        {
            _ = GetOption(socket, SocketLevel, Error, (byte*)error, ref length);
        }
        catch (ObjectDisposedException)
        {
            return SocketError.OperationAborted;
        }
        return *error == 0 ? SocketError.Success : ErrorOf(*error);
    }

    protected override bool ReleaseHandle()
    {
        bool isClosed = Close(handle) == 0;
        _closed();
        return isClosed;
    }

    private static int Moved(nint result, out SocketError error)
    {
        error = result >= 0 ? SocketError.Success : ErrorOf(Marshal.GetLastPInvokeError());
        return Math.Max(0, (int)result);
    }

    /// <summary>The framework's name of an error of <c>send(2)</c> or <c>recv(2)</c>.</summary>
    private static SocketError ErrorOf(int error) => error switch
    {
        11 => SocketError.WouldBlock, // EAGAIN
        12 or 105 => SocketError.NoBufferSpaceAvailable, // ENOMEM, ENOBUFS
        13 => SocketError.AccessDenied, // EACCES
        32 => SocketError.Shutdown, // EPIPE
        100 => SocketError.NetworkDown, // ENETDOWN
        101 => SocketError.NetworkUnreachable, // ENETUNREACH
        103 => SocketError.ConnectionAborted, // ECONNABORTED
        104 => SocketError.ConnectionReset, // ECONNRESET
        107 => SocketError.NotConnected, // ENOTCONN
        110 => SocketError.TimedOut, // ETIMEDOUT
        111 => SocketError.ConnectionRefused, // ECONNREFUSED
        112 => SocketError.HostDown, // EHOSTDOWN
        113 => SocketError.HostUnreachable, // EHOSTUNREACH
        _ => SocketError.SocketError,
    };

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(SafeHandle socket, byte* bytes, nint count, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(SafeHandle socket, byte* bytes, nint count, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Control(SafeHandle socket, nuint request, out int value);

    [LibraryImport("libc", EntryPoint = "shutdown")]
    private static partial int Shutdown(SafeHandle socket, int how);

    [LibraryImport("libc", EntryPoint = "setsockopt")]
    private static partial int SetOption(SafeHandle socket, int level, int name, int* value, int length);

    [LibraryImport("libc", EntryPoint = "getsockopt")]
    private static partial int GetOption(SafeHandle socket, int level, int name, byte* value, ref int length);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(nint descriptor);
}
