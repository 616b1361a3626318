using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace HeartbeatServer.Admin;

/// <summary>An answer of the admin listener.</summary>
/// <param name="Status">Of HTTP.</param>
/// <param name="ContentType">Null without a body.</param>
/// <param name="Body">Whole.</param>
/// <param name="ETag">Of a file; such an answer may be kept, if it is asked for again each time.</param>
internal sealed record AdminAnswer(int Status, string? ContentType, ReadOnlyMemory<byte> Body, string? ETag = null)
{
    /// <summary>A line for a person.</summary>
    public static AdminAnswer Text(int status, string text) => new(status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text + "\n"));

    public static AdminAnswer Json<T>(T value, JsonTypeInfo<T> type, int status = 200) =>
        new(status, "application/json; charset=utf-8", JsonSerializer.SerializeToUtf8Bytes(value, type));

    public static AdminAnswer Error(int status, string error) => Json(new ErrorJson(error), StatusJsonContext.Plain.ErrorJson, status);
}
