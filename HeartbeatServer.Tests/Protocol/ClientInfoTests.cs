using System.Runtime.CompilerServices;
using System.Text;
using HeartbeatServer.Protocol;

namespace HeartbeatServer.Tests.Protocol;

internal sealed class ClientInfoTests
{
    [Test]
    public void It_has_what_the_client_said_of_itself_without_the_query()
    {
        ClientInfo client = Of("/ws?access_token=secret", "User-Agent: Mozilla/5.0", "Origin: https://app.example.com", "Cookie: id=secret");

        Assert.That(client, Is.EqualTo(new ClientInfo("/ws", "Mozilla/5.0", "https://app.example.com", "chat")));
    }

    [Test]
    public void What_is_not_there_is_null() =>
        Assert.That(ClientInfo.Of(Head("/ws"), subprotocol: null), Is.EqualTo(new ClientInfo("/ws", null, null, null)));

    [Test]
    public void Of_a_long_field_the_beginning_is_kept()
    {
        string agent = Of("/ws", "User-Agent: " + new string('x', 20_000)).UserAgent!;

        Assert.That(agent, Has.Length.EqualTo(203).And.EndsWith("x..."));
    }

    [Test]
    public void What_could_control_a_terminal_is_escaped() =>
        // The fields of a request are Latin-1. C1 controls are in it: U+009B begins the same commands as ESC [.
        Assert.That(Of("/ws", "User-Agent: a\u009b31mb\u00ad").UserAgent, Is.EqualTo("a\\u009b31mb\\u00ad"));

    [TestCase("a\u001b[31m", "a\\u001b[31m")]
    [TestCase("a\u202eb", "a\\u202eb")]
    [TestCase("\"quoted\"", "\"quoted\"")]
    [TestCase("plain ü", "plain ü")]
    public void A_printable_text_stays_as_it_is(string text, string printable) =>
        Assert.That(PeerText.Printable(text), Is.EqualTo(printable));

    [Test]
    public void Clients_that_are_alike_share_one_object()
    {
        var sharing = new Sharing<ClientInfo>(10);
        ClientInfo first = sharing.Share(Of("/ws", "User-Agent: a"));

        Assert.That(sharing.Share(Of("/ws", "User-Agent: a")), Is.SameAs(first));
        Assert.That(sharing.Share(Of("/ws", "User-Agent: b")), Is.Not.SameAs(first));
    }

    [Test]
    public void Whatever_clients_send_a_bounded_number_of_values_is_remembered()
    {
        var sharing = new Sharing<string>(10);
        WeakReference first = Shared(sharing, 0);
        for (int i = 1; i <= 10; i++)
            Shared(sharing, i);
        GC.Collect();

        Assert.That(first.IsAlive, Is.False);
    }

    [TestCase("/ws", "/ws")]
    [TestCase("/ws?", "/ws?***")]
    [TestCase("/ws?access_token=secret", "/ws?***")]
    [TestCase("/a?b?c", "/a?***")]
    [TestCase("http://host/ws?token", "/ws?***")]
    [TestCase("ws://host?token", "/?***")]
    public void A_target_is_shown_without_its_query(string target, string shown) =>
        Assert.That(Head(target).ShownTarget, Is.EqualTo(shown));

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference Shared(Sharing<string> sharing, int i) => new(sharing.Share(new string('x', i + 1)));

    private static ClientInfo Of(string target, params string[] fields) => ClientInfo.Of(Head(target, fields), "chat");

    private static RequestHead Head(string target, params string[] fields) =>
        RequestHead.Read(Encoding.Latin1.GetBytes($"GET {target} HTTP/1.1\r\nHost: x\r\n{string.Concat(fields.Select(field => field + "\r\n"))}\r\n"), out _)!;
}
