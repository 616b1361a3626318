using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

// The loader takes libc from the system's directories, never from a file beside the program.
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.System32)]

namespace HeartbeatServer.Engine;

/// <summary>What a socket is ready for, or is watched for. The values are those of <c>epoll_ctl(2)</c>.</summary>
[Flags]
internal enum Readiness : uint
{
    None = 0,
    Read = 0x1,
    Write = 0x4,
    Error = 0x8,
    HangUp = 0x10,
    /// <summary>The peer has sent FIN. The bytes before it may not be read yet.</summary>
    PeerEnd = 0x2000,
    /// <summary>
    /// Is no readiness: the socket is reported when it becomes ready, and not again in each wait. Whoever watches a socket so reads until nothing is left, or
    /// watches it anew.
    /// </summary>
    Edge = 0x8000_0000,
}

/// <summary>In which order sockets are served when several are ready.</summary>
internal enum Priority
{
    /// <summary>The socket is served at once, in the order in which epoll reports.</summary>
    Normal,
    /// <summary>The socket is served after the others, because its peer has not yet shown that it is a client.</summary>
    Low,
    /// <summary>
    /// The socket is served after the others, too, in a line of its own. Its peer had still more to send when its last turn was over.
    /// </summary>
    Busy,
}

/// <summary>What an <see cref="EventLoop"/> calls when a socket is ready.</summary>
internal interface IReady
{
    public Priority Priority { get; }

    /// <summary>Does what the ready socket is to do. The event loop calls this on its own thread.</summary>
    public void OnReady(Readiness ready);

    /// <summary>
    /// Gives the socket up. The event loop calls this after <see cref="OnReady"/> has thrown, because nobody knows the socket's state then.
    /// </summary>
    public void Abort();
}

/// <summary>
/// Reports which of many sockets are ready. The reports are level-triggered: each wait reports a socket again as long as the socket is ready, so
/// nothing is missed between two waits. A socket that is watched with <see cref="Readiness.Edge"/> is the exception. docs/decisions/0005 says why the
/// server has its own epoll instance beside the framework's.
/// </summary>
/// <remarks>One thread waits and reads the events. Any thread may add a socket, change what it is watched for, and wake the waiting thread.</remarks>
[SupportedOSPlatform("linux")]
internal sealed unsafe partial class Epoll : IDisposable
{
    /// <summary>
    /// The most events that one wait brings. The number is so large that the next wait also reports a socket that becomes ready behind many busy
    /// ones.
    /// </summary>
    private const int MaxEvents = 1024;
    private const int Add = 1;
    private const int Delete = 2;
    private const int Modify = 3;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int Interrupted = 4;

    /// <summary>The token of the descriptor that serves only to end a wait.</summary>
    private const int WakeToken = -1;

    /// <summary>The size of <c>struct epoll_event</c> in bytes. The kernel packs the struct on x86 only.</summary>
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.X86 ? 12 : 16;
    private static readonly int TokenOffset = EventSize - sizeof(ulong);

    private readonly SafeFileHandle _epoll = Created(EpollCreate(CloseOnExec));
    private readonly SafeFileHandle _wake = Created(EventFd(0, CloseOnExec | NonBlocking));
    private readonly byte[] _events = GC.AllocateArray<byte>(MaxEvents * EventSize, pinned: true);
    private readonly Lock _gate = new();
    private readonly Stack<int> _free = [];
    private readonly Stack<int> _left = [];
    private IReady?[] _targets = new IReady?[16];

    /// <exception cref="IOException">No descriptor is left.</exception>
    public Epoll()
    {
        if (!TryControl(Add, (int)_wake.DangerousGetHandle(), Readiness.Read, WakeToken))
            throw Failed();
        for (int token = _targets.Length - 1; token >= 0; token--)
            _free.Push(token);
    }

    /// <summary>How many tokens are in use.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _targets.Length - _free.Count - _left.Count;
        }
    }

    /// <summary>Gives a token to a target. The events of the socket that is watched with this token go to the target.</summary>
    public int Enter(IReady target)
    {
        lock (_gate)
        {
            if (!_free.TryPop(out int token))
            {
                token = _targets.Length;
                var larger = new IReady?[2 * token];
                _targets.CopyTo(larger, 0);
                for (int free = larger.Length - 1; free > token; free--)
                    _free.Push(free);
                Volatile.Write(ref _targets, larger);
            }
            _targets[token] = target;
            return token;
        }
    }

    /// <summary>
    /// Frees a token, whose socket is closed or not watched any more. The last wait may have brought an event of it already. That event reaches nobody:
    /// the token gets its next owner after the next wait has begun.
    /// </summary>
    public void Leave(int token)
    {
        lock (_gate)
        {
            _targets[token] = null;
            _left.Push(token);
        }
    }

    /// <summary>Sets what a socket is watched for. The kernel stops watching by itself when the socket is closed.</summary>
    /// <param name="socket">The socket's descriptor.</param>
    /// <param name="token">The token of the target that its events go to.</param>
    /// <param name="before">What the socket is watched for until now; <see cref="Readiness.None"/> if it is not watched.</param>
    /// <param name="wanted">
    /// What it is watched for from now on; <see cref="Readiness.None"/> ends the watch. A watched socket also reports hang-ups and errors.
    /// </param>
    /// <exception cref="IOException">The kernel has no room to watch the socket.</exception>
    public void Watch(int socket, int token, Readiness before, Readiness wanted)
    {
        bool done = wanted == Readiness.None
            ? TryControl(Delete, socket, wanted, token)
            : TryControl(before == Readiness.None ? Add : Modify, socket, wanted, token);
        if (!done)
            throw Failed();
    }

    /// <summary>Waits until a socket is ready. <see cref="Event"/> then gives the events.</summary>
    /// <param name="milliseconds">The longest wait; -1 for no limit.</param>
    /// <returns>How many events there are; 0 if the time ran out first.</returns>
    public int Wait(int milliseconds)
    {
        lock (_gate)
        {
            while (_left.TryPop(out int token))
                _free.Push(token);
        }
        fixed (byte* events = _events)
        {
            int count = EpollWait(_epoll, events, MaxEvents, milliseconds);
            if (count >= 0)
                return count;
            return Marshal.GetLastPInvokeError() == Interrupted ? 0 : throw Failed();
        }
    }

    /// <summary>Gives one of the events that the last <see cref="Wait"/> brought.</summary>
    /// <param name="index">The number of the event, from 0.</param>
    /// <param name="ready">What the socket is ready for.</param>
    /// <returns>The target of the event; null if the target has left meanwhile, or if <see cref="Wake"/> caused the event.</returns>
    public IReady? Event(int index, out Readiness ready)
    {
        ReadOnlySpan<byte> one = _events.AsSpan(index * EventSize, EventSize);
        ready = (Readiness)BitConverter.ToUInt32(one);
        long token = BitConverter.ToInt64(one[TokenOffset..]);
        if (token != WakeToken)
            return Volatile.Read(ref _targets)[token];
        EventFdRead(_wake, out _);
        return null;
    }

    /// <summary>Ends the wait in progress. If there is none, the next wait ends at once.</summary>
    public void Wake() => EventFdWrite(_wake, 1);

    public void Dispose()
    {
        _epoll.Dispose();
        _wake.Dispose();
    }

    private bool TryControl(int operation, int socket, Readiness wanted, long token)
    {
        byte* one = stackalloc byte[EventSize];
        *(uint*)one = (uint)wanted;
        *(long*)(one + TokenOffset) = token;
        return EpollControl((int)_epoll.DangerousGetHandle(), operation, socket, one) == 0;
    }

    private static SafeFileHandle Created(int descriptor) =>
        descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true) : throw Failed();

    private static IOException Failed()
    {
        var error = new Win32Exception(Marshal.GetLastPInvokeError());
        return new IOException($"epoll: {error.Message}", error);
    }

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(int epoll, int operation, int descriptor, byte* one);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(SafeFileHandle epoll, byte* events, int count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventFd(uint value, int flags);

    [LibraryImport("libc", EntryPoint = "eventfd_read")]
    private static partial int EventFdRead(SafeFileHandle descriptor, out ulong value);

    [LibraryImport("libc", EntryPoint = "eventfd_write")]
    private static partial int EventFdWrite(SafeFileHandle descriptor, ulong value);
}
