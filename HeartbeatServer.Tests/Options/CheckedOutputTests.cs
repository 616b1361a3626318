using System.Text;
using HeartbeatServer.Options;

namespace HeartbeatServer.Tests.Options;

internal sealed class CheckedOutputTests
{
    [Test]
    public void What_is_written_goes_through()
    {
        using var inner = new StringWriter();
        using var output = new CheckedOutput(inner);

        output.Write('a');
        output.Write("b");
        output.Write(['c', 'd', 'e'], 1, 1);
        output.WriteLine("f");
        output.Flush();

        Assert.That(inner.ToString(), Is.EqualTo("abdf" + Environment.NewLine));
    }

    [Test]
    public void What_cannot_be_written_says_why([Values] bool isAsync)
    {
        using var full = new Full();
        using var output = new CheckedOutput(full);

        OutputException e = isAsync
            ? Assert.ThrowsAsync<OutputException>(() => output.WriteLineAsync("help"))!
            : Assert.Throws<OutputException>(() => output.WriteLine("help"))!;

        Assert.That(e.Message, Is.EqualTo("The output cannot be written: no space left"));
    }

    private sealed class Full : TextWriter
    {
        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value) => throw new IOException("no space left");
    }
}
