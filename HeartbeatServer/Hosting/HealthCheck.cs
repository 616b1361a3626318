using HeartbeatServer.Options;

namespace HeartbeatServer.Hosting;

/// <summary>Asks a running server whether it is healthy. A container without a shell and without curl can thus check its own server.</summary>
internal static class HealthCheck
{
    /// <summary>The server has so long to answer.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    private const int LongestLine = 80;
    private const int Healthy = 0;
    private const int Unhealthy = 1;

    /// <param name="url">Where to ask: the server's health check, or its readiness on the admin listener.</param>
    /// <param name="isOwn">Whether it is the server of this machine. Then its certificate is not verified: it is for the names that clients use.</param>
    /// <param name="output">Gets a line that says why.</param>
    /// <returns>Exit code 0 for a status of 200 to 299, else 1.</returns>
    public static async Task<int> RunAsync(Uri url, bool isOwn, TextWriter output)
    {
        // The server itself is asked. A proxy that the environment names, and a page to which the answer sends a browser, have a health of their own.
        using var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false };
#pragma warning disable CA5359 // As above. No secret is sent.
        if (isOwn)
            handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
#pragma warning restore CA5359
        using var client = new HttpClient(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        // HttpListener's own accept loop answers 400 to an IPv6 address in the Host header.
        if (url.HostNameType == UriHostNameType.IPv6)
            request.Headers.Host = HostPort.Localhost;
        using var time = new CancellationTokenSource(Timeout);
        try
        {
            using HttpResponseMessage response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, time.Token);
            string line = await FirstLineAsync(response.Content, time.Token);
            await output.WriteLineAsync($"{(response.IsSuccessStatusCode ? "healthy" : "unhealthy")}: {url} answered {(int)response.StatusCode} {line}");
            return response.IsSuccessStatusCode ? Healthy : Unhealthy;
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            await output.WriteLineAsync($"unhealthy: {url}: {e.GetBaseException().Message}");
        }
        catch (OperationCanceledException)
        {
            await output.WriteLineAsync($"unhealthy: {url}: no answer within {Duration.Format(Timeout)}");
        }
        return Unhealthy;
    }

    /// <summary>The first line, shortened: another program may listen there, and its answer may be a whole page, or endless.</summary>
    private static async Task<string> FirstLineAsync(HttpContent content, CancellationToken cancel)
    {
        using var reader = new StreamReader(await content.ReadAsStreamAsync(cancel));
        char[] text = new char[LongestLine];
        int length = await reader.ReadBlockAsync(text, cancel);
        return string.Concat(text.Take(length).TakeWhile(c => !char.IsControl(c)));
    }
}
