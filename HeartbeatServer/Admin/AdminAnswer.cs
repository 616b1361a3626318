using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using HeartbeatServer.Http;

namespace HeartbeatServer.Admin;

/// <summary>The answers of the admin listener.</summary>
internal static class AdminAnswer
{
    public const string ETag = "ETag";

    /// <summary>A file. It may be kept, if it is asked for again each time.</summary>
    public static HttpReply File(string contentType, ReadOnlyMemory<byte> content, string etag) =>
        new(200, contentType, content) { Headers = [(ETag, etag)] };

    public static HttpReply Json<T>(T value, JsonTypeInfo<T> type, int status = 200) =>
        new(status, "application/json; charset=utf-8", JsonSerializer.SerializeToUtf8Bytes(value, type));

    public static HttpReply Error(int status, string error) => Json(new ErrorJson(error), StatusJsonContext.Plain.ErrorJson, status);
}
