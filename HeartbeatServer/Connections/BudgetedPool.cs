using System.Buffers;
using System.Numerics;

namespace HeartbeatServer.Connections;

/// <summary>The arrays in which the messages of one connection are assembled. They count in the budget of all connections.</summary>
/// <param name="connection">The connection whose messages they hold.</param>
/// <param name="budget">What all connections together may hold.</param>
internal sealed class BudgetedPool(Connection connection, BufferBudget budget) : ArrayPool<byte>
{
    /// <exception cref="OutOfMemoryException">The process has no memory, or all connections together hold too much and this one has to go.</exception>
    public override byte[] Rent(int minimumLength)
    {
        // The shared pool rounds a length up to a power of two. Beyond 1 GiB it makes an array of exactly the length.
        int reserved = minimumLength > 1 << 30 ? minimumLength : (int)BitOperations.RoundUpToPowerOf2((uint)minimumLength);
        if (!budget.TryReserve(connection, reserved))
            throw new InsufficientMemoryException();
        byte[]? array = null;
        try
        {
            return array = Shared.Rent(minimumLength);
        }
        finally
        {
            // The pool may have given a longer array, or none. The reservation becomes what was really given.
            budget.Release(reserved - (array?.Length ?? 0));
        }
    }

    public override void Return(byte[] array, bool clearArray = false)
    {
        Shared.Return(array, clearArray);
        budget.Release(array.Length);
    }
}
