using System.Runtime.InteropServices;

namespace LoadGenerator;

/// <summary>epoll, level-triggered: which of many sockets are ready. Each has a number of the caller's.</summary>
internal sealed unsafe class Poller
{
    public const uint Readable = 0x1, Writable = 0x4, Failed = 0x8, HungUp = 0x10;

    private const int Capacity = 512;
    private const int Add = 1, Modify = 3;

    // struct epoll_event is packed on x86-64 and nowhere else.
    private static readonly int EventSize = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    private readonly int _epoll = Linux.Check(Linux.EpollCreate(0), "epoll_create1");
    private readonly byte[] _events = GC.AllocateArray<byte>(Capacity * EventSize, pinned: true);

    /// <summary>Watches a new socket; closing it ends that.</summary>
    public void Watch(int fd, int number, bool writable) => Control(Add, fd, number, writable);

    /// <summary>Watches it for other things than before.</summary>
    public void Change(int fd, int number, bool writable) => Control(Modify, fd, number, writable);

    /// <returns>How many are ready; ask for each with <see cref="Ready"/>.</returns>
    public int Wait(int milliseconds)
    {
        fixed (byte* events = _events)
            return Math.Max(0, Linux.EpollWait(_epoll, events, Capacity, milliseconds));
    }

    public (int Number, uint Events) Ready(int index)
    {
        ReadOnlySpan<byte> one = _events.AsSpan(index * EventSize, EventSize);
        return (MemoryMarshal.Read<int>(one[(EventSize - sizeof(long))..]), MemoryMarshal.Read<uint>(one));
    }

    private void Control(int operation, int fd, int number, bool writable)
    {
        byte* change = stackalloc byte[16];
        *(uint*)change = Readable | (writable ? Writable : 0);
        *(long*)(change + EventSize - sizeof(long)) = number;
        Linux.Check(Linux.EpollControl(_epoll, operation, fd, change), "epoll_ctl");
    }
}
