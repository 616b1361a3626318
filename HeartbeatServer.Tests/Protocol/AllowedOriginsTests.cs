using HeartbeatServer.Protocol;


namespace HeartbeatServer.Tests.Protocol;

public sealed class AllowedOriginsTests
{
    [TestCase("https://app.example.com", "https://app.example.com", true)]
    [TestCase("https://app.example.com", "HTTPS://App.Example.COM", true)]
    [TestCase("HTTPS://App.Example.com", "https://app.example.com", true)]
    [TestCase("https://app.example.com", "https://app.example.com:443", true)]
    [TestCase("https://app.example.com:443", "https://app.example.com", true)]
    [TestCase("http://localhost:3000", "http://localhost:3000", true)]
    [TestCase("http://[::1]:3000", "http://[::1]:3000", true)]
    [TestCase("https://bücher.example", "https://xn--bcher-kva.example", true)]
    [TestCase("chrome-extension://abcdef", "chrome-extension://abcdef", true)]
    [TestCase("file://", "file://", true)]
    [TestCase("file://", "FILE://", true)]
    [TestCase("file://", "null", false)]
    [TestCase("file://", "file://host", false)]
    [TestCase("file://", "qrc://", false)]
    [TestCase("null", "file://", false)]
    [TestCase("capacitor://localhost", "capacitor://localhost", true)]
    [TestCase("capacitor://localhost", "ionic://localhost", false)]
    [TestCase("capacitor://localhost", "http://localhost", false)]
    [TestCase("capacitor://localhost", "capacitor://localhost:80", false, Description = "a scheme of an app has no port of its own")]
    [TestCase("ionic://localhost", "ionic://localhost", true)]
    [TestCase("tauri://localhost", "tauri://localhost", true)]
    [TestCase("app://obsidian.md", "app://obsidian.md", true)]
    [TestCase("app://.", "app://.", true)]
    [TestCase("app://-", "app://-", true)]
    [TestCase("moz-extension://9c2a3b1e-0d5f-4a7e-8b6c-1f2e3d4c5b6a", "moz-extension://9c2a3b1e-0d5f-4a7e-8b6c-1f2e3d4c5b6a", true)]
    [TestCase("safari-web-extension://9C2A3B1E-0D5F", "safari-web-extension://9c2a3b1e-0d5f", true)]
    [TestCase("chrome-extension://abcdef", "chrome-extension://fedcba", false)]
    [TestCase("vscode-webview://1a2b3c", "vscode-webview://1a2b3c", true)]
    [TestCase("http://my_host:8080", "http://my_host:8080", true)]
    [TestCase("http://localhost", "http://localhost:80", true)]
    [TestCase("ws://localhost", "ws://localhost:80", true)]
    [TestCase("wss://localhost:443", "wss://localhost", true)]
    [TestCase("http://[::1]:3000", "http://[0:0:0:0:0:0:0:1]:3000", true)]
    [TestCase("http://[2001:DB8::1]", "http://[2001:db8::1]:80", true)]
    [TestCase("http://[::1]", "http://[::1]:3000", false)]
    [TestCase("http://[::1]", "http://[::2]", false)]
    [TestCase("https://app.example.com", "http://app.example.com", false)]
    [TestCase("https://app.example.com", "https://app.example.com:8443", false)]
    [TestCase("https://app.example.com", "https://app.example.com.evil.test", false)]
    [TestCase("https://app.example.com", "https://evil.test/https://app.example.com", false)]
    [TestCase("https://app.example.com", "https://app.example.com@evil.test", false)]
    [TestCase("https://app.example.com", "https://app.example.com https://evil.test", false)]
    [TestCase("https://app.example.com", "null", false)]
    [TestCase("https://app.example.com", "", false)]
    [TestCase("*.example.com", "https://app.example.com", true)]
    [TestCase("*.example.com", "http://a.b.example.com:8080", true)]
    [TestCase("*.example.com", "https://APP.EXAMPLE.COM", true)]
    [TestCase("*.example.com", "https://example.com", false)]
    [TestCase("*.example.com", "https://badexample.com", false)]
    [TestCase("*.example.com", "https://app.example.com.evil.test", false)]
    [TestCase("*.example.com", "https://*.example.com", false)]
    [TestCase("*.example.com", "*.example.com", false)]
    [TestCase("*.example.com", "null", false)]
    [TestCase("*.example.com:8443", "https://app.example.com:8443", true)]
    [TestCase("*.example.com:8443", "https://app.example.com", false)]
    [TestCase("https://*.example.com", "https://app.example.com", true)]
    [TestCase("https://*.example.com", "http://app.example.com", false)]
    [TestCase("https://*.example.com", "https://app.example.com:8443", false)]
    [TestCase("null", "null", true)]
    [TestCase("null", "https://app.example.com", false)]
    [TestCase("null", "", false)]
    public void A_page_is_allowed_or_not(string allowed, string origin, bool expected) =>
        Assert.That(new AllowedOrigins([allowed]).Allows(origin), Is.EqualTo(expected));

    [Test]
    public void A_name_longer_than_that_of_any_host_is_no_origin()
    {
        string host = string.Concat(Enumerable.Repeat("b\u00fccher.", 100));

        Assert.That(AllowedOrigins.IsOrigin($"https://{host[..100]}"), Is.True);
        Assert.That(AllowedOrigins.IsOrigin($"https://{new string('b', 255)}"), Is.True);
        Assert.That(AllowedOrigins.IsOrigin($"https://{new string('b', 256)}"), Is.False);
        Assert.That(AllowedOrigins.IsOrigin($"https://{host}"), Is.False);
    }

    [Test]
    public void One_of_many_is_enough()
    {
        var allowed = new AllowedOrigins(["https://a.example", "*.b.example", "null"]);

        Assert.That(new[] { "https://a.example", "https://x.b.example", "null" }.Select(allowed.Allows), Is.All.True);
        Assert.That(allowed.Allows("https://c.example"), Is.False);
        Assert.That($"{allowed}", Is.EqualTo("https://a.example,*.b.example,null"));
    }

    [Test]
    public void A_request_without_Origin_passes_and_by_default_everybody_does()
    {
        Assert.That(new AllowedOrigins(["https://a.example"]).Allows(null), Is.True);
        Assert.That(AllowedOrigins.Any.Allows("https://evil.test"), Is.True);
        Assert.That(AllowedOrigins.Any.Allows("garbage"), Is.True);
    }

    [TestCase("https://app.example.com/")]
    [TestCase("https://app.example.com/path")]
    [TestCase("https://app.example.com?x")]
    [TestCase("https://user@app.example.com")]
    [TestCase("app.example.com")]
    [TestCase("localhost:3000")]
    [TestCase("*")]
    [TestCase("*.")]
    [TestCase("https://")]
    [TestCase("http://:80")]
    [TestCase("capacitor://:80")]
    [TestCase("file:///")]
    [TestCase("file:///index.html")]
    [TestCase("capacitor://localhost/")]
    [TestCase("https://a.example:")]
    [TestCase("https://a.example:port")]
    [TestCase("https://a.example:65536")]
    [TestCase("https://a.example:+80")]
    [TestCase("https://*")]
    [TestCase("https://a.*.example")]
    [TestCase("https://*.")]
    [TestCase("http://[::1")]
    [TestCase("http://[127.0.0.1]")]
    [TestCase("http://[fe80::1%25eth0]")]
    [TestCase("http://::1")]
    [TestCase("://host")]
    [TestCase("1app://host")]
    [TestCase("a b://host")]
    [TestCase("https://a.example,https://b.example")]
    [TestCase("https://a\u0000.example")]
    [TestCase("")]
    public void Other_texts_are_no_origin(string text)
    {
        Assert.That(AllowedOrigins.IsOrigin(text), Is.False);
        Assert.That(() => new AllowedOrigins([text]), Throws.TypeOf<FormatException>());
    }
}
